package privyseal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// SessionEvent is what happened to a session: one of the two is set.
type SessionEvent struct {
	// Session is the session, or a new one. Its token is a credential.
	Session *privysealv1.Session
	// Failure says that the session could not be renewed, or was ended. It is tried on.
	Failure *Error
}

// String tells the event without the session's token and headers.
func (e SessionEvent) String() string {
	if e.Session == nil {
		return fmt.Sprintf("failure: %v", e.Failure)
	}
	return fmt.Sprintf("session of %s, token hidden", e.Session.GetKey())
}

// GoString returns the same: what fmt prints for %#v.
func (e SessionEvent) GoString() string { return e.String() }

// LogValue returns the same: what log/slog writes, as JSON too.
func (e SessionEvent) LogValue() slog.Value { return slog.StringValue(e.String()) }

// WatchSession gives the key's current session, then each new one before the old one dies, and
// each failure to renew. Range over it; leaving the loop, or the context's end, ends the RPC.
//
// A stream that ends because its connection is old, a server stops or the bearer token that opened
// it has expired is opened again, without end, and a session is not given twice. Any other end is the error, an *[Error], and the last
// that is given. There is no deadline but the context's.
func (c *Client) WatchSession(
	ctx context.Context, request *privysealv1.WatchSessionRequest,
) iter.Seq2[SessionEvent, error] {
	return func(yield func(SessionEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		request := proto.CloneOf(request)
		watch := sessionWatch{client: c, yield: yield}
		for {
			failure := watch.once(ctx, request)
			if failure == nil {
				return
			}
			if failure.Code == codes.Unauthenticated && watch.gave && c.caller.bringsToken {
				continue // it ends with the token that opened it, and there may be a fresh one
			}
			watch.failed++
			if failure.Code == codes.Unavailable {
				err := sleep(ctx, c.caller.wait(failure, watch.failed))
				if err == nil {
					continue
				}
				failure = c.caller.fromRPC(ctx, status.FromContextError(err).Err())
			}
			yield(SessionEvent{}, failure)
			return
		}
	}
}

type sessionWatch struct {
	client *Client
	yield  func(SessionEvent, error) bool
	last   *privysealv1.Session
	gave   bool // whether the stream brought anything
	failed int  // streams in a row that brought nothing
}

// once gives the events of one stream, and returns its end, or nil where nobody listens any
// more.
func (w *sessionWatch) once(ctx context.Context, request *privysealv1.WatchSessionRequest) *Error {
	w.gave = false
	stream, err := w.client.signing.WatchSession(ctx, request)
	if err != nil {
		return w.client.caller.fromRPC(ctx, err)
	}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return newError(status.New(codes.Unknown, "the server ended the stream without a word; open it again"))
		}
		if err != nil {
			return w.client.caller.fromRPC(ctx, err)
		}
		w.gave, w.failed = true, 0
		event := SessionEvent{Session: response.GetSession()}
		if failure := response.GetFailure(); failure != nil {
			event.Failure = newError(status.FromProto(failure))
		} else if w.isKnown(event.Session) {
			continue
		}
		if !w.yield(event, nil) {
			return nil
		}
	}
}

// isKnown reports whether the session was given last, and remembers it. One without token is
// of an event that this client does not know.
func (w *sessionWatch) isKnown(session *privysealv1.Session) bool {
	if session == nil || w.last != nil && session.GetToken() == w.last.GetToken() &&
		proto.Equal(session.GetExpireTime(), w.last.GetExpireTime()) {
		return true
	}
	w.last = session
	return false
}
