package privyseal

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// venue is a server that keeps each request as it was on the wire, and answers as it is told.
type venue struct {
	url    string
	answer string

	mutex sync.Mutex
	seen  []string
	drop  bool // the next request gets no answer, and its connection ends
}

func newVenue(t *testing.T) *venue {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	v := &venue{
		url:    "http://" + listener.Addr().String(),
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go v.serve(conn)
		}
	}()
	return v
}

func (v *venue) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var raw strings.Builder
	reader := bufio.NewReader(io.TeeReader(conn, &raw))
	for {
		raw.Reset()
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		v.mutex.Lock()
		v.seen = append(v.seen, raw.String())
		drop, answer := v.drop, v.answer
		v.drop = false
		v.mutex.Unlock()
		if drop {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// requests returns what came in.
func (v *venue) requests() []string {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return append([]string(nil), v.seen...)
}

// last returns the last request's first line, headers and body.
func (v *venue) last(t *testing.T) (line, headers, body string) {
	t.Helper()
	all := v.requests()
	if len(all) == 0 {
		t.Fatal("no request came in")
	}
	head, body, _ := strings.Cut(all[len(all)-1], "\r\n\r\n")
	line, headers, _ = strings.Cut(head, "\r\n")
	return line, headers + "\r\n", body
}
