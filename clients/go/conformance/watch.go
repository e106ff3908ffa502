package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// watch is a stream whose events wait to be asked for.
type watch struct {
	events chan answer
	close  context.CancelFunc
}

// watch begins a stream. The caller holds the mutex.
func (r *runner) watch(ctx context.Context, client *connected, asked *command) answer {
	request := new(privysealv1.WatchSessionRequest)
	if err := proto.Unmarshal(asked.Request, request); err != nil {
		return failed(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	begun := &watch{events: make(chan answer, 1_000), close: cancel}
	r.watches[asked.Stream] = begun
	go func() {
		for event, err := range client.WatchSession(ctx, request) {
			switch {
			case err != nil:
				begun.events <- answer{"end": failure(err)}
			case event.Failure != nil:
				begun.events <- answer{"failure": failure(event.Failure)}
			default:
				content, err := proto.Marshal(event.Session)
				if err != nil {
					begun.events <- failed(err)
					continue
				}
				begun.events <- answer{"session": content}
			}
		}
	}()
	return answer{}
}

func (w *watch) next(wait time.Duration) answer {
	select {
	case event := <-w.events:
		return event
	case <-time.After(wait):
		return answer{"nothing": true}
	}
}
