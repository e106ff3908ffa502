package privyseal

import (
	"context"

	"google.golang.org/grpc"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// Every method below returns an *[Error] where it fails. Its deadline is the context's, else
// Config.Timeout.

// Sign returns the exact bytes of a venue request, or a signature over a structured message. Give
// a request_id, a fresh UUID, and it is tried again where that is safe.
func (c *Client) Sign(
	ctx context.Context, request *privysealv1.SignRequest, options ...grpc.CallOption,
) (*privysealv1.SignResponse, error) {
	return c.signing.Sign(ctx, request, options...)
}

// BatchSign does up to 1000 Signs in order, each with a status of its own: see [ErrorFromStatus].
// It is never tried again as a whole.
func (c *Client) BatchSign(
	ctx context.Context, request *privysealv1.BatchSignRequest, options ...grpc.CallOption,
) (*privysealv1.BatchSignResponse, error) {
	return c.signing.BatchSign(ctx, request, options...)
}

// Login returns the key's session at its venue, and opens one where there is none.
func (c *Client) Login(
	ctx context.Context, request *privysealv1.LoginRequest, options ...grpc.CallOption,
) (*privysealv1.LoginResponse, error) {
	return c.signing.Login(ctx, request, options...)
}

// Logout ends the key's session. It succeeds where there is none.
func (c *Client) Logout(
	ctx context.Context, request *privysealv1.LogoutRequest, options ...grpc.CallOption,
) (*privysealv1.LogoutResponse, error) {
	return c.signing.Logout(ctx, request, options...)
}

// ReportAnswer tells what the venue said to a signed request, so that a stale nonce or a session
// that is over is put right. Doors do it by themselves.
func (c *Client) ReportAnswer(
	ctx context.Context, request *privysealv1.ReportAnswerRequest, options ...grpc.CallOption,
) (*privysealv1.ReportAnswerResponse, error) {
	return c.signing.ReportAnswer(ctx, request, options...)
}

// CreateKey makes a key that goes straight into the secret store; only public parts come back.
func (c *Client) CreateKey(
	ctx context.Context, request *privysealv1.CreateKeyRequest, options ...grpc.CallOption,
) (*privysealv1.CreateKeyResponse, error) {
	return c.signing.CreateKey(ctx, request, options...)
}

// GetKey returns a key's public facts.
func (c *Client) GetKey(
	ctx context.Context, request *privysealv1.GetKeyRequest, options ...grpc.CallOption,
) (*privysealv1.GetKeyResponse, error) {
	return c.keys.GetKey(ctx, request, options...)
}

// ListKeys returns a page of the keys that the caller may read, in the order of their ids.
func (c *Client) ListKeys(
	ctx context.Context, request *privysealv1.ListKeysRequest, options ...grpc.CallOption,
) (*privysealv1.ListKeysResponse, error) {
	return c.keys.ListKeys(ctx, request, options...)
}

// ImportKey writes a credential that exists already. It overwrites nothing.
func (c *Client) ImportKey(
	ctx context.Context, request *privysealv1.ImportKeyRequest, options ...grpc.CallOption,
) (*privysealv1.ImportKeyResponse, error) {
	return c.keys.ImportKey(ctx, request, options...)
}

// GetSealingKey returns the public key to which a secret is sealed on its way to ImportKey.
func (c *Client) GetSealingKey(
	ctx context.Context, request *privysealv1.GetSealingKeyRequest, options ...grpc.CallOption,
) (*privysealv1.GetSealingKeyResponse, error) {
	return c.keys.GetSealingKey(ctx, request, options...)
}

// RotateKey replaces a credential, and accepts the old one until a time.
func (c *Client) RotateKey(
	ctx context.Context, request *privysealv1.RotateKeyRequest, options ...grpc.CallOption,
) (*privysealv1.RotateKeyResponse, error) {
	return c.keys.RotateKey(ctx, request, options...)
}

// DisableKey stops a key from being used, until EnableKey.
func (c *Client) DisableKey(
	ctx context.Context, request *privysealv1.DisableKeyRequest, options ...grpc.CallOption,
) (*privysealv1.DisableKeyResponse, error) {
	return c.keys.DisableKey(ctx, request, options...)
}

// EnableKey lets a disabled key be used again, and forgets that the venue refused its logins.
func (c *Client) EnableKey(
	ctx context.Context, request *privysealv1.EnableKeyRequest, options ...grpc.CallOption,
) (*privysealv1.EnableKeyResponse, error) {
	return c.keys.EnableKey(ctx, request, options...)
}

// ResyncNonce puts a key's nonce counter right.
func (c *Client) ResyncNonce(
	ctx context.Context, request *privysealv1.ResyncNonceRequest, options ...grpc.CallOption,
) (*privysealv1.ResyncNonceResponse, error) {
	return c.keys.ResyncNonce(ctx, request, options...)
}

// DeleteKey removes a key and all its versions for good.
func (c *Client) DeleteKey(
	ctx context.Context, request *privysealv1.DeleteKeyRequest, options ...grpc.CallOption,
) (*privysealv1.DeleteKeyResponse, error) {
	return c.keys.DeleteKey(ctx, request, options...)
}

// GetVenue returns all that the server knows of a venue.
func (c *Client) GetVenue(
	ctx context.Context, request *privysealv1.GetVenueRequest, options ...grpc.CallOption,
) (*privysealv1.GetVenueResponse, error) {
	return c.venues.GetVenue(ctx, request, options...)
}

// ListVenues returns a page of the venues, in the order of their names.
func (c *Client) ListVenues(
	ctx context.Context, request *privysealv1.ListVenuesRequest, options ...grpc.CallOption,
) (*privysealv1.ListVenuesResponse, error) {
	return c.venues.ListVenues(ctx, request, options...)
}

// CreateHold stops a key, a venue, a caller or all. Give a request_id, a fresh UUID, and it is tried
// again where it failed for a moment.
func (c *Client) CreateHold(
	ctx context.Context, request *privysealv1.CreateHoldRequest, options ...grpc.CallOption,
) (*privysealv1.CreateHoldResponse, error) {
	return c.holds.CreateHold(ctx, request, options...)
}

// ListHolds returns a page of the holds in force that the caller may read.
func (c *Client) ListHolds(
	ctx context.Context, request *privysealv1.ListHoldsRequest, options ...grpc.CallOption,
) (*privysealv1.ListHoldsResponse, error) {
	return c.holds.ListHolds(ctx, request, options...)
}

// DeleteHold lifts a hold; others on the same stay.
func (c *Client) DeleteHold(
	ctx context.Context, request *privysealv1.DeleteHoldRequest, options ...grpc.CallOption,
) (*privysealv1.DeleteHoldResponse, error) {
	return c.holds.DeleteHold(ctx, request, options...)
}
