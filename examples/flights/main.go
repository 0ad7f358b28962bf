// Command flights is an example: half a year of American air traffic as a
// stream, with tables of delays by airport and by hour.
//
//	flights load                        send the flights to Kafka
//	flights worker                      process them; start several if you like
//	flights verify                      compare every result with a plain count
//	flights demo --kills 5 --workers 2  all of it, with a broker of its own
//
// and what every application can do: topology, topics, table, send, reset.
package main

import "github.com/weirstream/weir/examples/flights/app"

func main() { app.Main() }
