package app

import "testing"

// BenchmarkHandshakes is a connection to the listener that asks for
// certificates: the handshake, one request, the end; the client's half with it.
func BenchmarkHandshakes(b *testing.B) {
	d := openNextDoor(b, Handshake{}, nil)
	dial := d.as(nil, card(b, "Ada"))
	b.ReportAllocs()
	for b.Loop() {
		if code, p := ask(b, dial); code != 200 || p.who() != "Ada" {
			b.Fatal(code, p)
		}
	}
}
