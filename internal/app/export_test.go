package app

import "net"

// Addr is where the main listener listens, which behind a proxy is not what
// BaseURL says.
func (s *Server) Addr() net.Addr { return s.listeners[0].Addr() }
