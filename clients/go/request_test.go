package privyseal

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

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
