package privyseal

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrRefused is what a door says of a request that it does not send: one that is too long,
// follows a redirect, or can't go out as it was signed. Use [errors.Is].
var ErrRefused = errors.New("privyseal: not sent")

// Error is a call that was refused, or could not be made. Use [errors.As], or [errors.Is] with
// a [Reason]. Past the deadline and when cancelled it is [context.DeadlineExceeded] and
// [context.Canceled] too.
type Error struct {
	// Code is gRPC's code.
	Code codes.Code
	// Reason says what was refused; empty where no server said it.
	Reason Reason
	// Message says what to do next. It never holds a secret.
	Message string
	// Metadata are the facts that belong to the reason, such as the key.
	Metadata map[string]string
	// Field is the field of the request that is wrong, such as "http_request.method".
	Field string

	retryAfter *time.Duration
	status     *status.Status
}

// ErrorFromStatus returns the failure that a status tells, as one of BatchSign's results has
// it: nil for OK, else an *Error.
func ErrorFromStatus(from *spb.Status) error {
	if from.GetCode() == int32(codes.OK) {
		return nil
	}
	return newError(status.FromProto(from))
}

// ReasonOf returns the reason of an *Error anywhere in err's tree, else nothing.
func ReasonOf(err error) Reason {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Reason
	}
	return ""
}

// Error returns the code, the reason and the message.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("privyseal: " + code.Code(e.Code).String())
	if e.Reason != "" {
		text.WriteString(" (" + string(e.Reason) + ")")
	}
	text.WriteString(": " + e.Message)
	return text.String()
}

// GoString returns the same: what fmt prints for %#v.
func (e *Error) GoString() string { return e.Error() }

// RetryAfter returns how long to wait before it is worth trying again, where the server said.
func (e *Error) RetryAfter() (wait time.Duration, ok bool) {
	if e.retryAfter == nil {
		return 0, false
	}
	return *e.retryAfter, true
}

// IsRetryable reports whether the same request may be sent again: the code is Unavailable or
// Aborted, and it is known that nothing happened at a venue.
func (e *Error) IsRetryable() bool {
	return (e.Code == codes.Unavailable || e.Code == codes.Aborted) &&
		e.Reason != ReasonVenueOutcomeUnknown
}

// Is reports whether the target is the error's reason, or the context's error for its code.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	}
	reason, ok := target.(Reason)
	return ok && reason == e.Reason && reason != ""
}

// Timeout reports whether the deadline was missed; net/http's errors ask for it.
func (e *Error) Timeout() bool { return e.Code == codes.DeadlineExceeded }

// GRPCStatus returns the status with all its details; [status.FromError] and [status.Code]
// use it.
func (e *Error) GRPCStatus() *status.Status {
	if e.status == nil {
		return status.New(e.Code, e.Message)
	}
	return e.status
}

func newError(from *status.Status) *Error {
	failure := &Error{Code: from.Code(), Message: from.Message(), status: from}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason = Reason(detail.GetReason())
			failure.Metadata = maps.Clone(detail.GetMetadata())
		case *errdetails.BadRequest:
			if fields := detail.GetFieldViolations(); len(fields) > 0 {
				failure.Field = fields[0].GetField()
			}
		case *errdetails.RetryInfo:
			wait := max(0, detail.GetRetryDelay().AsDuration())
			failure.retryAfter = &wait
		}
	}
	return failure
}

// fromRPC returns gRPC's error as an *Error, with what to look at where no server spoke.
func (c *caller) fromRPC(ctx context.Context, err error) *Error {
	from := status.Convert(err)
	failure := newError(from)
	if failure.Reason != "" {
		return failure
	}
	switch failure.Code {
	case codes.Canceled:
		c.tellWhoEnded(ctx, failure)
	case codes.Unavailable:
		failure.Message += "; see that a server runs at " + c.where +
			", and that it takes this client's certificate"
	case codes.DeadlineExceeded:
		failure.Message += "; there was no answer of " + c.where + " in time"
	default:
		return failure
	}
	told := from.Proto()
	told.Code, told.Message = int32(failure.Code), failure.Message
	failure.status = status.FromProto(told)
	return failure
}

// tellWhoEnded corrects what says that a call was cancelled: a server that is stopped by force
// resets its streams with the same code.
func (c *caller) tellWhoEnded(ctx context.Context, failure *Error) {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		failure.Code = codes.DeadlineExceeded
	case ctx.Err() != nil:
	case c.closed.Load():
		failure.Message = "the client is closed; make a new one"
	default:
		failure.Code = codes.Unavailable
		failure.Message = "the server at " + c.where + " ended the call, as one that is stopped does (" +
			failure.Message + ")"
	}
}
