package privyseal

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that messageCodec wraps
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// caller makes the calls of the generated stubs: with a deadline, retries and typed errors.
type caller struct {
	conn        *grpc.ClientConn
	where       string
	timeout     time.Duration
	maxAttempts int
	random      func() float64
	bringsToken bool
	closed      atomic.Bool
}

// Invoke implements [grpc.ClientConnInterface].
func (c *caller) Invoke(
	ctx context.Context, method string, request, response any, options ...grpc.CallOption,
) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	attempts := 1
	if identified, ok := request.(interface{ GetRequestId() string }); ok &&
		identified.GetRequestId() != "" && c.maxAttempts > 1 {
		message, isMessage := request.(proto.Message)
		if !isMessage {
			return errors.New("privyseal: the request is no message")
		}
		content, err := proto.Marshal(message)
		if err != nil {
			return err
		}
		request, attempts = wireMessage(content), c.maxAttempts
	}
	return c.retry(ctx, attempts, func() error {
		return c.conn.Invoke(ctx, method, request, response, options...)
	})
}

// NewStream implements [grpc.ClientConnInterface]. A stream has no deadline and no retries.
func (c *caller) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return c.conn.NewStream(ctx, description, method, options...)
}

// retry makes at most so many attempts, and returns nil or an *Error.
func (c *caller) retry(ctx context.Context, attempts int, attempt func() error) error {
	for made := 1; ; made++ {
		err := attempt()
		if err == nil {
			return nil
		}
		failure := c.fromRPC(ctx, err)
		if made >= attempts || !failure.IsRetryable() {
			return failure
		}
		wait := c.wait(failure, made)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return failure
		}
		if err := sleep(ctx, wait); err != nil {
			return c.fromRPC(ctx, status.FromContextError(err).Err())
		}
	}
}

// wait returns how long to wait after so many attempts: as the server says, else between a
// half and the whole of a time that doubles.
func (c *caller) wait(failure *Error, made int) time.Duration {
	if told, ok := failure.RetryAfter(); ok {
		return told
	}
	whole := longestWait
	if made < 6 {
		whole = min(longestWait, firstWait<<(made-1))
	}
	return whole/2 + time.Duration(c.random()*float64(whole/2))
}

const (
	firstWait   = 100 * time.Millisecond
	longestWait = 2 * time.Second
)

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// wireMessage is a request as it goes over the wire, so that every attempt sends the same.
type wireMessage []byte

// messageCodec is gRPC's codec for messages, and takes wireMessages as they are.
type messageCodec struct{ encoding.CodecV2 }

func newMessageCodec() messageCodec { return messageCodec{encoding.GetCodecV2("proto")} }

// Marshal implements [encoding.CodecV2].
func (c messageCodec) Marshal(message any) (mem.BufferSlice, error) {
	if content, ok := message.(wireMessage); ok {
		return mem.BufferSlice{mem.SliceBuffer(content)}, nil
	}
	return c.CodecV2.Marshal(message)
}
