package privyseal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

func header(name, value string) *privysealv1.Header {
	return &privysealv1.Header{Name: name, Value: value}
}

// get sends a GET through a door, and returns the answer's body.
func get(t *testing.T, door http.RoundTripper, url string) (string, error) {
	t.Helper()
	answer, err := (&http.Client{Transport: door}).Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
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

func TestNothingIsSentTwice(t *testing.T) {
	for _, method := range []string{"GET", "DELETE", "POST"} {
		venue := newVenue(t)
		door := signsAs(&privysealv1.SignedHttpRequest{Method: method, Url: venue.url + "/"}).client(t).
			Transport("keys/x")
		send := func() error {
			request, err := http.NewRequest(method, "https://x.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Idempotency-Key", "k")
			answer, err := (&http.Client{Transport: door}).Do(request)
			if err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		venue.mutex.Lock()
		venue.drop = true
		venue.mutex.Unlock()
		if err := send(); err == nil {
			t.Errorf("%s: a broken connection is told", method)
		}
		if got := len(venue.requests()); got != 2 {
			t.Errorf("%s: %d requests", method, got)
		}
		_, headers, body := venue.last(t)
		if strings.Contains(headers, "Transfer-Encoding") || body != "" ||
			strings.Contains(headers, "Content-Length: 0") != (method == "POST") {
			t.Errorf("%s: %s%s", method, headers, body)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	venue := newVenue(t)
	venue.answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
	door := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"}).client(t).
		Transport("keys/x")
	if _, err := get(t, door, "https://x.example/"); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	sender := http.Client{Transport: door, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	answer, err := sender.Get("https://x.example/")
	if err != nil || answer.StatusCode != http.StatusFound {
		t.Error(answer, err)
	}
	_ = answer.Body.Close()
	if got := len(venue.requests()); got != 2 {
		t.Errorf("%d requests", got)
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

func TestMissingSessionIsOpenedOnce(t *testing.T) {
	venue := newVenue(t)
	logins := 0
	server := &signer{
		login: func(*privysealv1.LoginRequest) (*privysealv1.LoginResponse, error) {
			logins++
			return &privysealv1.LoginResponse{}, nil
		},
		sign: func(context.Context, *privysealv1.SignRequest) (*privysealv1.SignResponse, error) {
			if logins == 0 {
				return nil, refusal(codes.FailedPrecondition, ReasonSessionMissing, -1)
			}
			return response(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"}), nil
		},
	}
	client := server.client(t)
	if _, err := get(t, client.Transport("keys/x", WithoutLogin()), "https://x.example/"); !errors.Is(err, ReasonSessionMissing) || logins != 0 {
		t.Error(err, logins)
	}
	if _, err := get(t, client.Transport("keys/x"), "https://x.example/"); err != nil || logins != 1 {
		t.Error(err, logins)
	}
	ids := map[string]bool{}
	for _, request := range server.signs {
		ids[request.GetRequestId()] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Error(ids)
	}
}

func TestWithoutRetriesThereIsNoRequestID(t *testing.T) {
	server := signsAs(nil)
	client := server.client(t, func(config *Config) { config.MaxAttempts = 1 })
	_, _ = get(t, client.Transport("keys/x"), "https://x.example/")
	if len(server.signs) != 1 || server.signs[0].GetRequestId() != "" {
		t.Error(server.signs)
	}
}

func TestManySendsAtOnce(t *testing.T) {
	venue := newVenue(t)
	door := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"}).client(t).
		Transport("keys/x", WithReport(ReportAll))
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			if body, err := get(t, door, "https://x.example/"); body != "ok" || err != nil {
				t.Error(body, err)
			}
		})
	}
	running.Wait()
}

func TestAnswersAreReportedAndStayWhole(t *testing.T) {
	text := strings.Repeat("0123456789", 20_000)
	for _, test := range []struct {
		code    int
		report  Report
		reports int
	}{{200, ReportErrors, 0}, {400, ReportErrors, 1}, {200, ReportAll, 1}, {503, ReportNone, 0}} {
		venue := newVenue(t)
		venue.answer = fmt.Sprintf("HTTP/1.1 %d X\r\nDate: today\r\nContent-Length: %d\r\n\r\n%s", test.code, len(text), text)
		server := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"})
		server.report = func(context.Context, *privysealv1.ReportAnswerRequest) error {
			return refusal(codes.Unavailable, ReasonStateUnavailable, 0)
		}
		body, err := get(t, server.client(t).Transport("keys/x", WithReport(test.report)), "https://x.example/")
		if body != text || err != nil {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		if len(server.reports) != test.reports {
			t.Fatalf("%d: %d reports", test.code, len(server.reports))
		}
		for _, report := range server.reports {
			if report.GetHttpStatus() != int32(test.code) || report.GetDate() != "today" || report.GetNonce() != "17" ||
				report.GetSignTime().GetSeconds() != 1_700_000_000 || string(report.GetBody()) != text[:reportedBytes] {
				t.Errorf("reported %d %s", report.GetHttpStatus(), report.GetDate())
			}
		}
	}
}

func TestSlowBodyIsReportedInTimeAndStaysWhole(t *testing.T) {
	reader, writer := io.Pipe()
	began := time.Now()
	body := readAhead(reader)
	go func() {
		_, _ = io.WriteString(writer, "first ")
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(writer, "second")
		_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if head := string(body.head(ctx)); head != "first " || time.Since(began) > 5*time.Second {
		t.Errorf("%q", head)
	}
	whole, err := io.ReadAll(body)
	if string(whole) != "first second" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", whole, err)
	}
}
