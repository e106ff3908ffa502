// Package privyseal signs requests to crypto exchanges by a Privyseal server, which alone holds
// the secrets.
//
// [Client.Transport] is an [http.RoundTripper] that signs each request and sends it byte for
// byte as it was signed; [Client] has every RPC as a method. The messages are those of package
// [privysealv1].
package privyseal

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// Version is this client's version, as servers see it in the user-agent.
const Version = "0.1.0"

const (
	maxMessage    = 16 << 20
	serviceConfig = `{"loadBalancingConfig": [{"round_robin": {}}]}`
)

// Client makes calls to Privyseal. It may be used by any number of goroutines at once; make one
// and keep it.
type Client struct {
	caller  *caller
	signing privysealv1.SigningServiceClient
	keys    privysealv1.KeyServiceClient
	venues  privysealv1.VenueServiceClient
	holds   privysealv1.HoldServiceClient
	venue   *http.Transport // what doors send by
}

// New returns a client, or a *[ConfigurationError]. It reads the files that the settings name,
// and connects with the first call.
func New(config Config) (*Client, error) {
	targets, err := config.check()
	if err != nil {
		return nil, err
	}
	options, err := config.credentials()
	if err != nil {
		return nil, err
	}
	builder := &targetsBuilder{
		targets:   targets,
		plaintext: config.Plaintext,
		lookup:    net.DefaultResolver.LookupHost,
		between:   betweenLookups,
	}
	options = append(options,
		grpc.WithResolvers(builder),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent("privyseal-go/"+Version),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// With jitter, the longest wait is 2 s.
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2,
				MaxDelay: 1600 * time.Millisecond,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessage), grpc.ForceCodecV2(newMessageCodec()),
		),
	)
	if config.StatsHandler != nil {
		options = append(options, grpc.WithStatsHandler(config.StatsHandler))
	}
	conn, err := grpc.NewClient(targetsScheme+":///"+config.Targets[0], options...)
	if err != nil {
		return nil, &ConfigurationError{Setting: "Targets", err: err}
	}
	return newClient(conn, config), nil
}

func newClient(conn *grpc.ClientConn, config Config) *Client {
	c := &caller{
		conn:        conn,
		where:       strings.Join(config.Targets, ", "),
		timeout:     config.Timeout,
		maxAttempts: config.MaxAttempts,
		random:      rand.Float64,
		bringsToken: config.Token != nil || config.TokenFile != "",
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.maxAttempts == 0 {
		c.maxAttempts = defaultMaxAttempts
	}
	return &Client{
		caller:  c,
		signing: privysealv1.NewSigningServiceClient(c),
		keys:    privysealv1.NewKeyServiceClient(c),
		venues:  privysealv1.NewVenueServiceClient(c),
		holds:   privysealv1.NewHoldServiceClient(c),
		venue:   newVenueTransport(),
	}
}

// credentials returns gRPC's options for TLS and tokens. It reads the files.
func (c Config) credentials() ([]grpc.DialOption, error) {
	if c.TLS == nil {
		return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil
	}
	live, err := newLiveTLS(*c.TLS)
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(live)}
	token := c.Token
	if c.TokenFile != "" {
		file, err := newTokenFile(c.TokenFile)
		if err != nil {
			return nil, err
		}
		token = file.get
	}
	if token != nil {
		options = append(options, grpc.WithPerRPCCredentials(tokenCredentials{token}))
	}
	return options, nil
}

// Close ends all calls and watches, and closes the connections. Closing again does nothing.
func (c *Client) Close() error {
	if c.caller.closed.Swap(true) {
		return nil
	}
	c.venue.CloseIdleConnections()
	return c.caller.conn.Close()
}

// String tells where the client's servers are.
func (c *Client) String() string { return fmt.Sprintf("privyseal.Client(%s)", c.caller.where) }

// GoString returns the same: what fmt prints for %#v.
func (c *Client) GoString() string { return c.String() }
