package privyseal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

func header(name, value string) *privysealv1.Header {
	return &privysealv1.Header{Name: name, Value: value}
}

func TestSignedTargetGoesOutByteForByte(t *testing.T) {
	venue := newVenue(t)
	for _, target := range []string{
		"/", "/a/b", "/a%2Fb", "/a%2fb/%7E", "/a?", "/a?b=%2f&c=p+q&d=%20&e=é", "/a;b?c;d",
		"/a!$&'()*+,;=:@b", "/a//b/../c/./d", "//a/b", "/a?b=c?d=e", "/a?[b]={c}|^`\"<>\\", "/a[b]", "/é",
	} {
		door := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + target}).client(t).
			Transport("keys/x")
		if _, err := get(t, door, "http://ignored.example/"); err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if line, _, _ := venue.last(t); line != "GET "+target+" HTTP/1.1" {
			t.Errorf("%s went out as %s", target, line)
		}
	}
}

func TestURLThatWouldChangeIsRefused(t *testing.T) {
	for _, url := range []string{
		"https://signer.example?a=1", "https://user@signer.example/", "HTTPS://signer.example/",
		"https://signer.example/%zz", "https://signer.example/\n",
	} {
		_, err := outgoing(new(http.Request), &privysealv1.SignedHttpRequest{Method: "GET", Url: url})
		if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "signer.example") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestIntentIsWhatWouldGoOverTheWire(t *testing.T) {
	server := signsAs(nil)
	door := server.client(t).Transport("keys/x", WithoutLogin())
	for url, path := range map[string]string{
		"https://x.example":                    "/",
		"https://x.example/a%2Fb?c=%20+&d=é#f": "/a%2Fb?c=%20+&d=é",
		"https://x.example?a=b":                "/?a=b",
	} {
		_, err := get(t, door, url)
		if !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		intent := server.signs[len(server.signs)-1].GetHttpRequest()
		if intent.GetPath() != path || intent.GetMethod() != "GET" {
			t.Errorf("%s is read as %v", url, intent)
		}
	}
}

func TestHeadersAreMerged(t *testing.T) {
	venue := newVenue(t)
	door := signsAs(&privysealv1.SignedHttpRequest{
		Method: "POST", Url: venue.url + "/a", Body: []byte("signed body"),
		Headers: []*privysealv1.Header{header("X-TXC-APIKEY", "key"), header("apToken", "token")},
	}).client(t).Transport("keys/x")
	request, err := http.NewRequest(http.MethodPost, "https://user:pass@x.example/a", strings.NewReader("own body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{
		"x-txc-apikey": {"forged"}, "APTOKEN": {"forged"}, "X-Strategy": {"one", "two"},
		"Authorization": {"Basic x"}, "Cookie": {"a=b"}, "Connection": {"keep-alive"},
		"Content-Type": {"text/plain"}, "Content-Length": {"5"}, "Host": {"other.example"},
		"Transfer-Encoding": {"chunked"}, "User-Agent": {"desk/1"}, "Idempotency-Key": {"k"},
	}
	request.Host = "other.example"
	before := request.Clone(t.Context())
	answer, err := (&http.Client{Transport: door}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	_, headers, body := venue.last(t)
	if body != "signed body" {
		t.Errorf("sent %q", body)
	}
	got := strings.Split(strings.TrimSuffix(headers, "\r\n"), "\r\n")
	want := []string{
		"Host: " + strings.TrimPrefix(venue.url, "http://"), "User-Agent: desk/1", "Content-Length: 11",
		"X-TXC-APIKEY: key", "apToken: token", "X-Strategy: one", "X-Strategy: two",
		"idempotency-key: k", "Content-Type: text/plain", "Accept-Encoding: gzip",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("sent %q\n not %q", got, want)
	}
	if !reflect.DeepEqual(request.Header, before.Header) || request.URL.String() != before.URL.String() {
		t.Error("the caller's request was changed")
	}
	if answer.Request.Header.Get("X-TXC-APIKEY") != "" || answer.Request.URL.Host != "x.example" {
		t.Errorf("the answer shows the signed request: %v", answer.Request.URL)
	}
}

func TestContentTypeIsTheSignedOneOrThatOfTheBody(t *testing.T) {
	for _, test := range []struct {
		signed *privysealv1.SignedHttpRequest
		want   string
	}{
		{&privysealv1.SignedHttpRequest{Body: []byte("x")}, "own"},
		{&privysealv1.SignedHttpRequest{}, ""},
		{&privysealv1.SignedHttpRequest{
			Body: []byte("x"), Headers: []*privysealv1.Header{header("Content-Type", "signed")},
		}, "signed"},
	} {
		test.signed.Method, test.signed.Url = "POST", "https://x.example/"
		request := &http.Request{Header: http.Header{"Content-Type": {"own"}}}
		sent, err := outgoing(request, test.signed)
		if err != nil || sent.Header.Get("Content-Type") != test.want {
			t.Errorf("%v, %v, not %s", sent.Header, err, test.want)
		}
	}
}

// closing is a body that knows whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestBodiesAreBoundedAndClosed(t *testing.T) {
	server := signsAs(nil)
	client := server.client(t)
	for _, test := range []struct {
		size, limit, told int64
		signed            bool
	}{{10, 10, -1, true}, {11, 10, -1, false}, {11, 10, 11, false}, {0, 0, -1, true}, {5, 10, 6, false}} {
		server.signs = nil
		body := &closing{Reader: bytes.NewReader(make([]byte, test.size))}
		request, err := http.NewRequest(http.MethodPost, "https://x.example/", body)
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = test.told
		_, err = client.Transport("keys/x", WithMaxBody(test.limit)).RoundTrip(request)
		if !errors.Is(err, ErrRefused) || (len(server.signs) == 1) != test.signed || !body.closed {
			t.Errorf("%+v: %v, closed %v", test, err, body.closed)
		}
	}
}

func TestURLThatTearsTheRequestLineIsRefusedBeforeItIsSigned(t *testing.T) {
	server := signsAs(nil)
	door := server.client(t).Transport("keys/x")
	for _, query := range []string{"a=b c", "a HTTP/1.1", "a\r\nX: y", "a\tb", "a\x7f", "a#b"} {
		request, err := http.NewRequest(http.MethodGet, "https://x.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.URL.RawQuery = query
		if _, err := door.RoundTrip(request); !errors.Is(err, ErrRefused) || len(server.signs) != 0 {
			t.Errorf("%q: %v, %d signed", query, err, len(server.signs))
		}
	}
}

func TestHeadersInOddCaseAreNeitherLostNorDoubled(t *testing.T) {
	venue := newVenue(t)
	server := signsAs(&privysealv1.SignedHttpRequest{
		Method: "POST", Url: venue.url + "/", Body: []byte("x"),
		Headers: []*privysealv1.Header{header("accept-encoding", "identity")},
	})
	request, err := http.NewRequest(http.MethodPost, "https://x.example/", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{
		"content-type": {"application/json"}, "user-agent": {"desk/1"}, "ACCEPT-ENCODING": {"br"},
	}
	answer, err := (&http.Client{Transport: server.client(t).Transport("keys/x")}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	_, headers, _ := venue.last(t)
	want := "Host: " + strings.TrimPrefix(venue.url, "http://") + "\r\nUser-Agent: desk/1\r\n" +
		"Content-Length: 1\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\n"
	if headers != want || server.signs[0].GetHttpRequest().GetContentType() != "application/json" {
		t.Errorf("sent %q, signed %v", headers, server.signs[0])
	}
}

func TestNoBoundIsABoundToo(t *testing.T) {
	server := signsAs(nil)
	for _, limit := range []int64{math.MaxInt64, math.MaxInt64 - 1} {
		request, err := http.NewRequest(http.MethodPost, "https://x.example/", io.MultiReader(strings.NewReader("order")))
		if err != nil {
			t.Fatal(err)
		}
		server.signs = nil
		_, _ = server.client(t).Transport("keys/x", WithMaxBody(limit)).RoundTrip(request)
		if len(server.signs) != 1 || string(server.signs[0].GetHttpRequest().GetBody()) != "order" {
			t.Errorf("%d: signed %v", limit, server.signs)
		}
	}
}

func TestBodyThatStallsEndsWithTheContext(t *testing.T) {
	server := signsAs(nil)
	body, writer := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://x.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.client(t).Transport("keys/x").RoundTrip(request)
	if !errors.Is(err, context.DeadlineExceeded) || len(server.signs) != 0 {
		t.Errorf("%v, %d signed", err, len(server.signs))
	}
	for err = nil; err == nil; { // it is closed soon
		_, err = writer.Write([]byte("late"))
	}
}
