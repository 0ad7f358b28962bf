package traffic

import "errors"

// Sample returns the first n flights of the shipped file, in their order, and
// the airports that they need, by their code, but for a few, which stay
// unknown.
func Sample(n int) ([]Row, map[string]Airport, error) {
	enough := errors.New("enough")
	var rows []Row
	wanted := make(map[string]bool)
	err := ReadFlights("", func(r Row) error {
		if len(rows) == n {
			return enough
		}
		rows = append(rows, r)
		wanted[r.Origin], wanted[r.Destination] = true, true
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, nil, err
	}
	airports := make(map[string]Airport)
	err = ReadAirports("", func(iata string, at Airport) error {
		if wanted[iata] && iata[0] != 'S' {
			airports[iata] = at
		}
		return nil
	})
	return rows, airports, err
}
