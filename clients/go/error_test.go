package privyseal

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// A client fits wherever the generated interfaces are asked for.
var (
	_ privysealv1.KeyServiceClient   = (*Client)(nil)
	_ privysealv1.VenueServiceClient = (*Client)(nil)
	_ privysealv1.HoldServiceClient  = (*Client)(nil)
)

func TestErrorTellsAllThatTheServerSaid(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", ErrorFromStatus(
		status.Convert(refusal(codes.Unavailable, ReasonStateUnavailable, time.Second)).Proto()))
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	if failure.Field != "first" || failure.Metadata["key"] != "keys/x" || !failure.IsRetryable() {
		t.Errorf("%+v", *failure)
	}
	if wait, ok := failure.RetryAfter(); wait != time.Second || !ok {
		t.Error(wait, ok)
	}
	if ReasonOf(err) != ReasonStateUnavailable || status.Code(err) != codes.Unavailable {
		t.Error(ReasonOf(err), status.Code(err))
	}
	if !errors.Is(err, ReasonStateUnavailable) || errors.Is(err, ReasonHeld) || errors.Is(err, Reason("")) {
		t.Error("errors.Is knows reasons")
	}
	want := "privyseal: UNAVAILABLE (STATE_UNAVAILABLE): try something else"
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(format, failure); got != want {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestErrorIsTheContexts(t *testing.T) {
	for code, target := range map[codes.Code]error{
		codes.Canceled:         context.Canceled,
		codes.DeadlineExceeded: context.DeadlineExceeded,
	} {
		err := newError(status.New(code, ""))
		if !errors.Is(err, target) || err.IsRetryable() {
			t.Error(code)
		}
		if err.Timeout() != (code == codes.DeadlineExceeded) {
			t.Error(code, err.Timeout())
		}
	}
	if ErrorFromStatus(nil) != nil {
		t.Error("OK is no error")
	}
}

func TestReasonsAreThoseOfTheProto(t *testing.T) {
	declared := map[string]bool{}
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, _ := strconv.Unquote(literal.Value)
			declared[text] = true
		}
		return true
	})
	values := privysealv1.ErrorReason(0).Descriptor().Values()
	for index := 1; index < values.Len(); index++ {
		name := strings.TrimPrefix(string(values.Get(index).Name()), "ERROR_REASON_")
		if !declared[name] {
			t.Errorf("reason.go lacks %s", name)
		}
		delete(declared, name)
	}
	for name := range declared {
		t.Errorf("reason.go has %s, which the proto has not", name)
	}
}

func TestClientShowsNoSecret(t *testing.T) {
	path := write(t, "token", "a-very-secret-token\n")
	ca := newAuthority(t)
	client, err := New(Config{
		Targets: []string{"localhost:1"}, TLS: ca.files(t, "localhost"), TokenFile: path,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	event := SessionEvent{Session: &privysealv1.Session{Key: "keys/x", Token: "a-very-secret-token"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(format, client) + fmt.Sprintf(format, client.Transport("keys/x")) +
			fmt.Sprintf(format, event)
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("", "client", client, "event", event)
		text += logged.String()
		if strings.Contains(text, "secret") || !strings.Contains(text, "localhost:1") {
			t.Error(text)
		}
	}
}

func TestErrorMadeByHandHasItsCode(t *testing.T) {
	if got := status.Code(&Error{Code: codes.NotFound}); got != codes.NotFound {
		t.Error(got)
	}
}
