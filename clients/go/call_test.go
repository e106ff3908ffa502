package privyseal

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

func TestWaitDoublesBetweenHalfAndWhole(t *testing.T) {
	for _, test := range []struct {
		made                int
		shortest, exclusive time.Duration
	}{
		{1, 50 * time.Millisecond, 100 * time.Millisecond},
		{2, 100 * time.Millisecond, 200 * time.Millisecond},
		{5, 800 * time.Millisecond, 1600 * time.Millisecond},
		{6, time.Second, 2 * time.Second},
		{1_000, time.Second, 2 * time.Second},
	} {
		unlucky := &caller{random: func() float64 { return 0 }}
		lucky := &caller{random: func() float64 { return 1 }}
		if got := unlucky.wait(&Error{}, test.made); got != test.shortest {
			t.Errorf("after %d attempts at least %v, not %v", test.made, got, test.shortest)
		}
		if got := lucky.wait(&Error{}, test.made); got != test.exclusive {
			t.Errorf("after %d attempts at most %v, not %v", test.made, got, test.exclusive)
		}
	}
}

func TestRetryWaitsAndEnds(t *testing.T) {
	told := 300 * time.Millisecond
	for _, test := range []struct {
		name     string
		failure  error
		attempts int
		timeout  time.Duration
		cancel   time.Duration
		made     int
		took     time.Duration
		code     codes.Code
	}{
		{"four attempts", refusal(codes.Unavailable, "STATE_UNAVAILABLE", told), 4, 0, 0, 4, 3 * told, codes.Unavailable},
		{"doubling", refusal(codes.Aborted, "", -1), 3, 0, 0, 3, 150 * time.Millisecond, codes.Aborted},
		{"retries off", refusal(codes.Unavailable, "", told), 1, 0, 0, 1, 0, codes.Unavailable},
		{"outcome unknown", refusal(codes.Unavailable, ReasonVenueOutcomeUnknown, told), 4, 0, 0, 1, 0, codes.Unavailable},
		{"refused", refusal(codes.FailedPrecondition, ReasonHeld, told), 4, 0, 0, 1, 0, codes.FailedPrecondition},
		{"not past the deadline", refusal(codes.Unavailable, "", told), 4, told, 0, 1, 0, codes.Unavailable},
		{"cancelled while it waits", refusal(codes.Unavailable, "", told), 4, 0, told / 2, 1, told / 2, codes.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
					defer cancel()
				}
				if test.cancel > 0 {
					time.AfterFunc(test.cancel, cancel)
				}
				c := &caller{random: func() float64 { return 0 }}
				made, began := 0, time.Now()
				err := c.retry(ctx, test.attempts, func() error {
					made++
					return test.failure
				})
				if status.Code(err) != test.code {
					t.Errorf("failed with %v", err)
				}
				if made != test.made || time.Since(began) != test.took {
					t.Errorf("%d attempts in %v", made, time.Since(began))
				}
			})
		})
	}
}

func TestAttemptsSendTheSameBytes(t *testing.T) {
	attempts := 0
	server := &signer{sign: func(
		context.Context, *privysealv1.SignRequest,
	) (*privysealv1.SignResponse, error) {
		if attempts++; attempts == 1 {
			return nil, refusal(codes.Unavailable, ReasonStateUnavailable, 0)
		}
		return &privysealv1.SignResponse{Key: "keys/x"}, nil
	}}
	request := &privysealv1.SignRequest{Key: "keys/x", RequestId: NewRequestID()}
	signed, err := server.client(t).Sign(t.Context(), request)
	if err != nil || signed.GetKey() != "keys/x" {
		t.Fatal(signed, err)
	}
	if len(server.signs) != 2 || !proto.Equal(server.signs[0], server.signs[1]) {
		t.Errorf("sent %v", server.signs)
	}
}

func TestDeadlineIsTheContextsElseTheClients(t *testing.T) {
	var left time.Duration
	server := &signer{sign: func(
		ctx context.Context, _ *privysealv1.SignRequest,
	) (*privysealv1.SignResponse, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return &privysealv1.SignResponse{}, nil
	}}
	client := server.client(t)
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, test := range []struct {
		ctx  context.Context
		most time.Duration
	}{{t.Context(), 10 * time.Second}, {long, time.Minute}} {
		if _, err := client.Sign(test.ctx, &privysealv1.SignRequest{}); err != nil {
			t.Fatal(err)
		}
		if left > test.most || left < test.most-5*time.Second {
			t.Errorf("%v left of %v", left, test.most)
		}
	}
}

func TestNobodyThereIsUnavailableWithAdvice(t *testing.T) {
	client, err := New(Config{Targets: []string{"127.0.0.1:1"}, Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	_, err = client.Sign(t.Context(), &privysealv1.SignRequest{})
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != codes.Unavailable || failure.Reason != "" {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(failure.Message, "see that a server runs at 127.0.0.1:1") {
		t.Error(failure.Message)
	}
}

func TestCancelledByTheServerIsUnavailable(t *testing.T) {
	attempts := 0
	server := &signer{sign: func(
		context.Context, *privysealv1.SignRequest,
	) (*privysealv1.SignResponse, error) {
		if attempts++; attempts == 1 {
			return nil, status.Error(codes.Canceled, "stopped")
		}
		return &privysealv1.SignResponse{}, nil
	}}
	client := server.client(t)
	_, err := client.Sign(t.Context(), &privysealv1.SignRequest{})
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != codes.Unavailable || failure.Reason != "" ||
		status.Code(err) != codes.Unavailable || errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", err, status.Convert(err))
	}
	if !strings.Contains(err.Error(), "ended the call") {
		t.Error(err)
	}
	attempts = 0
	if _, err = client.Sign(t.Context(), &privysealv1.SignRequest{RequestId: NewRequestID()}); err != nil || attempts != 2 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}

func TestCancelledByTheCallerStaysSo(t *testing.T) {
	arrived := make(chan struct{}, 3)
	server := &signer{sign: func(
		ctx context.Context, _ *privysealv1.SignRequest,
	) (*privysealv1.SignResponse, error) {
		arrived <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	client := server.client(t)
	sign := func(ctx context.Context) error {
		_, err := client.Sign(ctx, &privysealv1.SignRequest{RequestId: NewRequestID()})
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
		<-arrived
		_ = client.Close()
	}()
	if err := sign(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, when := range []string{"under way", "closed"} {
		if err := sign(t.Context()); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s: %v", when, err)
		}
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
