package privyseal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

type sessionStream = grpc.ServerStreamingServer[privysealv1.WatchSessionResponse]

func session(token string, expires int64) *privysealv1.WatchSessionResponse {
	return &privysealv1.WatchSessionResponse{Event: &privysealv1.WatchSessionResponse_Session{
		Session: &privysealv1.Session{
			Key: "keys/x", Token: token, ExpireTime: timestamppb.New(time.Unix(expires, 0)),
		},
	}}
}

func TestWatchOpensAgainAndGivesNothingTwice(t *testing.T) {
	again := refusal(codes.Unavailable, ReasonServerStopping, 0)
	streams := [][]*privysealv1.WatchSessionResponse{
		{session("a", 1)},
		{},
		{session("a", 1), session("a", 2), {Event: &privysealv1.WatchSessionResponse_Failure{
			Failure: status.Convert(refusal(codes.FailedPrecondition, ReasonSessionMissing, -1)).Proto(),
		}}},
		{session("b", 2)},
	}
	opened := 0
	server := &signer{watch: func(stream sessionStream) error {
		for _, event := range streams[opened] {
			if err := stream.Send(event); err != nil {
				return err
			}
		}
		if opened++; opened == len(streams) {
			return refusal(codes.PermissionDenied, ReasonPolicyDenied, -1)
		}
		return again
	}}
	var given []string
	request := &privysealv1.WatchSessionRequest{Key: "keys/x"}
	for event, err := range server.client(t).WatchSession(t.Context(), request) {
		switch {
		case err != nil:
			given = append(given, "end "+string(ReasonOf(err)))
		case event.Failure != nil:
			given = append(given, "failure "+string(event.Failure.Reason))
		default:
			given = append(given, fmt.Sprint(event.Session.GetToken(), event.Session.GetExpireTime().GetSeconds()))
		}
	}
	want := []string{"a1", "a2", "failure SESSION_MISSING", "b2", "end POLICY_DENIED"}
	if !slices.Equal(given, want) {
		t.Errorf("%v, not %v", given, want)
	}
}

func TestLeavingTheLoopEndsTheRPC(t *testing.T) {
	ended := make(chan error, 1)
	server := &signer{watch: func(stream sessionStream) error {
		_ = stream.Send(session("a", 1))
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return nil
	}}
	for range server.client(t).WatchSession(t.Context(), &privysealv1.WatchSessionRequest{}) {
		break
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the stream is still open")
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	server := &signer{watch: func(sessionStream) error {
		return refusal(codes.Unavailable, ReasonServerStopping, time.Hour)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var last error
	for _, err := range server.client(t).WatchSession(ctx, &privysealv1.WatchSessionRequest{}) {
		last = err
	}
	if !errors.Is(last, context.DeadlineExceeded) {
		t.Error(last)
	}
}

func TestWatchIsOpenedAgainAfterAReset(t *testing.T) {
	opened := 0
	server := &signer{watch: func(stream sessionStream) error {
		if opened++; opened == 1 {
			return status.Error(codes.Canceled, "stopped")
		}
		return stream.Send(session("a", 1))
	}}
	for event, err := range server.client(t).WatchSession(t.Context(), &privysealv1.WatchSessionRequest{}) {
		if err != nil || event.Session.GetToken() != "a" {
			t.Error(event, err)
		}
		break
	}
}

func TestWatchOutlivesItsTokenWhereThereIsAFreshOne(t *testing.T) {
	expired := refusal(codes.Unauthenticated, ReasonCallerUnproved, -1)
	for _, test := range []struct {
		brings bool
		want   string
	}{{true, "[a1 b2 end CALLER_UNPROVED]"}, {false, "[a1 end CALLER_UNPROVED]"}} {
		streams := [][]*privysealv1.WatchSessionResponse{{session("a", 1)}, {session("a", 1), session("b", 2)}, {}}
		opened := 0
		server := &signer{watch: func(stream sessionStream) error {
			for _, event := range streams[opened] {
				if err := stream.Send(event); err != nil {
					return err
				}
			}
			opened++
			return expired
		}}
		client := server.client(t)
		client.caller.bringsToken = test.brings
		var given []string
		for event, err := range client.WatchSession(t.Context(), &privysealv1.WatchSessionRequest{}) {
			if err != nil {
				given = append(given, "end "+string(ReasonOf(err)))
				continue
			}
			given = append(given, fmt.Sprint(event.Session.GetToken(), event.Session.GetExpireTime().GetSeconds()))
		}
		if got := fmt.Sprint(given); got != test.want {
			t.Errorf("%s, not %s", got, test.want)
		}
	}
}
