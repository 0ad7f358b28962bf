package asfake

import "testing"

// FuzzMessage: whatever a client sends, the server answers or refuses.
func FuzzMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{22, info1Batch, 0, 0}, make([]byte, 40)...))
	f.Add([]byte{
		22, 0, info2Write, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1,
		0, 0, 0, 5, fieldNamespace, 't', 'e', 's', 't', 0, 0, 0, 6, opWrite, typeString, 0, 1, 'v', 'x',
	})
	s := &Server{opts: Options{Namespace: "test", Now: epoch}, live: make(map[digest]*record), device: make(map[digest][]version)}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeMessage(body)
		if err != nil {
			return
		}
		if len(s.answer(m, &Fault{})) < messageHeader {
			t.Error("an answer without a header")
		}
		s.admin(body)
	})
}
