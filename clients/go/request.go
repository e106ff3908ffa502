package privyseal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// errSentOnce is what net/http hears when it wants to send a signed request again.
var errSentOnce = errors.New("privyseal: the venue's connection ended before it answered; " +
	"see there whether the request arrived, and send it anew: it is then signed anew")

// notSent are the headers of a caller's request that never go out: they say who it is, or how
// another request was sent.
var notSent = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true,
	"Authorization": true, "Cookie": true, "Content-Type": true,
	"Proxy-Authorization": true, "Proxy-Connection": true, "Keep-Alive": true, "Te": true,
	"Trailer": true, "Upgrade": true, "Expect": true,
}

// intent reads the request, and closes its body.
func (t *Transport) intent(request *http.Request) (*privysealv1.HttpRequest, error) {
	path, err := pathOf(request)
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	body, err := t.body(request)
	if err != nil {
		return nil, err
	}
	method := request.Method
	if method == "" {
		method = http.MethodGet
	}
	return &privysealv1.HttpRequest{
		Method:      method,
		Path:        path,
		Body:        body,
		ContentType: contentType(request.Header),
	}, nil
}

// pathOf returns path and query as net/http writes them.
func pathOf(request *http.Request) (string, error) {
	if request.Response != nil {
		return "", fmt.Errorf("%w: the venue answered %s, and a door follows no redirects; "+
			"set CheckRedirect of the http.Client to get that answer",
			ErrRefused, request.Response.Status)
	}
	if request.URL == nil {
		return "", fmt.Errorf("%w: the request has no URL", ErrRefused)
	}
	path := request.URL.RequestURI()
	if request.URL.Opaque != "" {
		path = strings.TrimPrefix(path, request.URL.Scheme+"://"+request.URL.Host)
	}
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("%w: the URL's path must begin with a slash", ErrRefused)
	}
	if !utf8.ValidString(path) {
		return "", fmt.Errorf("%w: the URL is no UTF-8; escape its bytes", ErrRefused)
	}
	if tearsRequestLine(path) {
		return "", fmt.Errorf("%w: the URL holds a space, a # or a control character; escape it",
			ErrRefused)
	}
	return path, nil
}

// tearsRequestLine reports whether the target would end early in a request's first line.
func tearsRequestLine(target string) bool {
	return strings.ContainsFunc(target, func(each rune) bool {
		return each <= ' ' || each == '#' || each == 0x7f
	})
}

// contentType returns the request's, in whatever case its name is written.
func contentType(own http.Header) string {
	for name, values := range own {
		if http.CanonicalHeaderKey(name) == "Content-Type" && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// body reads the request's body and closes it, also where the context ends meanwhile.
func (t *Transport) body(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	type result struct {
		body []byte
		err  error
	}
	read := make(chan result, 1)
	shut := sync.OnceFunc(func() { _ = request.Body.Close() })
	go func() {
		body, err := t.readBody(request)
		shut()
		read <- result{body, err}
	}()
	select {
	case got := <-read:
		return got.body, got.err
	case <-request.Context().Done():
		go shut() // which ends a Read that waits
		return nil, context.Cause(request.Context())
	}
}

func (t *Transport) readBody(request *http.Request) ([]byte, error) {
	tooLong := fmt.Errorf("%w: the body is longer than %d bytes; see WithMaxBody",
		ErrRefused, t.maxBody)
	if request.ContentLength > t.maxBody {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, min(t.maxBody, math.MaxInt64-1)+1))
	if err != nil {
		return nil, fmt.Errorf("privyseal: can't read the request's body: %w", err)
	}
	if int64(len(body)) > t.maxBody {
		return nil, tooLong
	}
	if request.ContentLength > 0 && request.ContentLength != int64(len(body)) {
		return nil, fmt.Errorf("%w: the body has %d bytes, and ContentLength says %d",
			ErrRefused, len(body), request.ContentLength)
	}
	return body, nil
}

// outgoing returns the request to send: what was signed, and those headers of the caller's that
// the signed ones don't have.
func outgoing(
	request *http.Request, signed *privysealv1.SignedHttpRequest,
) (*http.Request, error) {
	var sent atomic.Bool
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
	})
	body := signed.GetBody()
	out, err := http.NewRequestWithContext(ctx, signed.GetMethod(), signed.GetUrl(), bytes.NewReader(body))
	if err != nil {
		// The error shows the URL, which is a credential.
		return nil, fmt.Errorf("%w: net/http does not take the signed method or URL", ErrRefused)
	}
	if err := keepTarget(out.URL, signed.GetUrl()); err != nil {
		return nil, err
	}
	// net/http sends a request again when a kept connection turns out dead, unless it can't have
	// its body again: so none goes without. A body of a GET is looked into and not sent if empty.
	if len(body) == 0 && usuallyLacksBody(out.Method) {
		out.Body = io.NopCloser(bytes.NewReader(nil))
	}
	out.GetBody = func() (io.ReadCloser, error) {
		if sent.Load() {
			return nil, errSentOnce
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	out.Close = request.Close
	setHeaders(out, request.Header, signed.GetHeaders())
	return out, nil
}

// keepTarget makes net/http write path and query just as they stand in the text.
func keepTarget(parsed *url.URL, text string) error {
	target := strings.TrimPrefix(text, parsed.Scheme+"://"+parsed.Host)
	if tearsRequestLine(target) {
		return fmt.Errorf("%w: the signed URL holds what a request line can't", ErrRefused)
	}
	if parsed.RequestURI() == target {
		return nil
	}
	parsed.Opaque, parsed.RawQuery, parsed.ForceQuery = target, "", false
	if !strings.HasPrefix(target, "/") || parsed.RequestURI() != target {
		return fmt.Errorf("%w: net/http would change the signed URL", ErrRefused)
	}
	return nil
}

func setHeaders(out *http.Request, own http.Header, signed []*privysealv1.Header) {
	has := make(map[string]bool, len(signed))
	for _, header := range signed {
		name := http.CanonicalHeaderKey(header.GetName())
		has[name] = true
		switch name {
		case "Host":
			out.Host = header.GetValue()
		case "Content-Length": // net/http sends the signed body's
		case "User-Agent", "Accept-Encoding": // net/http adds its own beside another spelling
			out.Header[name] = []string{header.GetValue()}
		default:
			// Not Set, which would change the venue's spelling.
			name = header.GetName()
			out.Header[name] = append(out.Header[name], header.GetValue())
		}
	}
	for name, values := range own {
		canonical := http.CanonicalHeaderKey(name)
		if has[canonical] || notSent[canonical] {
			continue
		}
		switch canonical {
		case "Idempotency-Key", "X-Idempotency-Key":
			// Under these spellings net/http takes them for leave to send again.
			name = strings.ToLower(name)
		case "User-Agent", "Accept-Encoding":
			name = canonical
		}
		out.Header[name] = slices.Clone(values)
	}
	if kind := contentType(own); kind != "" && !has["Content-Type"] && out.ContentLength > 0 {
		out.Header.Set("Content-Type", kind)
	}
}

func usuallyLacksBody(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete
}

// NewRequestID returns a random UUID, for a request_id.
func NewRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the program instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
