package privyseal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

const defaultMaxBody = 1 << 20

// Transport is the door for net/http: it has each request signed with its key, and sends it
// byte for byte as it was signed. Make one by [Client.Transport]. It may be used by any number
// of goroutines at once.
type Transport struct {
	client  *Client
	key     string
	base    http.RoundTripper
	login   bool
	report  Report
	maxBody int64
}

// TransportOption changes how a [Transport] works.
type TransportOption func(*Transport)

// WithBase sends by another RoundTripper than the client's own, which speaks HTTP/1.1, keeps
// connections, takes the environment's proxies as net/http does, and sends nothing twice. One
// that retries or follows redirects by itself breaks what a door promises.
func WithBase(base http.RoundTripper) TransportOption {
	return func(t *Transport) { t.base = base }
}

// WithoutLogin makes SESSION_MISSING the caller's to handle: no session is opened.
func WithoutLogin() TransportOption {
	return func(t *Transport) { t.login = false }
}

// WithReport chooses which answers of the venue Privyseal hears of; [ReportErrors] by default.
func WithReport(report Report) TransportOption {
	return func(t *Transport) { t.report = report }
}

// WithMaxBody changes how many bytes a request's body may have at most; 1 MiB by default.
func WithMaxBody(bytes int64) TransportOption {
	return func(t *Transport) { t.maxBody = bytes }
}

// Transport returns a RoundTripper that signs with a key, named keys/{key}.
//
// Of a request's URL path and query count; the signed URL says where it goes. Host,
// Authorization, Cookie and Connection of the request are not sent, and redirects are not
// followed: set CheckRedirect of the http.Client to get the answer 3xx itself. Each send is
// signed anew and sent once.
//
// What Privyseal refuses is an *[Error], what the door itself refuses is [ErrRefused], and
// everything else comes from the transport below; http.Client wraps them in a *url.Error.
func (c *Client) Transport(key string, options ...TransportOption) *Transport {
	t := &Transport{client: c, key: key, base: c.venue, login: true, maxBody: defaultMaxBody}
	for _, option := range options {
		option(t)
	}
	return t
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	intent, err := t.intent(request)
	if err != nil {
		return nil, err
	}
	ctx := request.Context()
	signed, err := t.sign(ctx, intent)
	if err != nil {
		return nil, err
	}
	outgoing, err := outgoing(request, signed.GetSignedHttpRequest())
	if err != nil {
		return nil, err
	}
	answer, err := t.base.RoundTrip(outgoing)
	if err != nil {
		return nil, err
	}
	// The signed request is a credential; answers are printed and logged with theirs.
	answer.Request = request
	if t.report.covers(answer.StatusCode) {
		t.tell(ctx, signed, answer)
	}
	return answer, nil
}

// sign has the intent signed, in a session that is opened where it is missing.
func (t *Transport) sign(
	ctx context.Context, intent *privysealv1.HttpRequest,
) (*privysealv1.SignResponse, error) {
	signed, err := t.signOnce(ctx, intent)
	if !t.login || !errors.Is(err, ReasonSessionMissing) {
		return signed, err
	}
	ctxLogin, cancel := context.WithTimeout(ctx, t.client.caller.timeout)
	defer cancel()
	if _, err := t.client.Login(ctxLogin, &privysealv1.LoginRequest{Key: t.key}); err != nil {
		return nil, err
	}
	return t.signOnce(ctx, intent)
}

func (t *Transport) signOnce(
	ctx context.Context, intent *privysealv1.HttpRequest,
) (*privysealv1.SignResponse, error) {
	// The request's own deadline is for the venue too: a server that hangs must not eat it.
	ctx, cancel := context.WithTimeout(ctx, t.client.caller.timeout)
	defer cancel()
	request := &privysealv1.SignRequest{
		Key:    t.key,
		Intent: &privysealv1.SignRequest_HttpRequest{HttpRequest: intent},
	}
	if t.client.caller.maxAttempts > 1 {
		request.RequestId = NewRequestID()
	}
	signed, err := t.client.Sign(ctx, request)
	if err == nil && signed.GetSignedHttpRequest() == nil {
		err = fmt.Errorf("%w: %s signed no HTTP request; is this client older than the server?",
			ErrRefused, t.key)
	}
	return signed, err
}

// String tells the key.
func (t *Transport) String() string { return fmt.Sprintf("privyseal.Transport(%s)", t.key) }

// GoString returns the same: what fmt prints for %#v.
func (t *Transport) GoString() string { return t.String() }

// newVenueTransport returns what doors send by. HTTP/2 is off: it has no spelling of headers,
// and would send a request again that a server did not take.
func newVenueTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		Protocols:             protocols,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}
