package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/privyseal/privyseal/clients/go"
)

// runner has what the commands made.
type runner struct {
	mutex   sync.Mutex
	clients map[string]*connected
	watches map[string]*watch
}

type connected struct {
	*privyseal.Client
	config privyseal.Config
}

func newRunner() *runner {
	return &runner{clients: make(map[string]*connected), watches: make(map[string]*watch)}
}

// settle does the commands that must be done in order; it returns nil for the others.
func (r *runner) settle(ctx context.Context, asked *command) answer {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	switch asked.Do {
	case "describe":
		return answer{"language": "go", "version": privyseal.Version, "doors": []string{"http"}}
	case "connect":
		return r.connect(asked)
	case "watch":
		if client := r.clients[asked.Client]; client != nil {
			return r.watch(ctx, client, asked)
		}
	case "unwatch":
		if stream := r.watches[asked.Stream]; stream != nil {
			stream.close()
			delete(r.watches, asked.Stream)
		}
		return answer{}
	case "close":
		if client := r.clients[asked.Client]; client != nil {
			_ = client.Close()
			delete(r.clients, asked.Client)
		}
		return answer{}
	}
	return nil
}

func (r *runner) connect(asked *command) answer {
	config := privyseal.Config{
		Targets:     asked.Targets,
		TokenFile:   asked.TokenFile,
		Plaintext:   asked.Plaintext,
		Timeout:     time.Duration(asked.TimeoutMS) * time.Millisecond,
		MaxAttempts: asked.MaxAttempts,
	}
	if files := asked.TLS; files != nil {
		config.TLS = &privyseal.TLS{
			CAFile:          files.CA,
			CertificateFile: files.Certificate,
			PrivateKeyFile:  files.PrivateKey,
			ServerName:      files.ServerName,
		}
	}
	client, err := privyseal.New(config)
	if err != nil {
		return failed(err)
	}
	if old := r.clients[asked.Client]; old != nil {
		_ = old.Close()
	}
	r.clients[asked.Client] = &connected{client, config}
	return answer{"text": fmt.Sprintf("%v %+v %#v %+v", client, client, client, config)}
}

func (r *runner) do(ctx context.Context, asked *command) answer {
	if asked.Do == "next" {
		r.mutex.Lock()
		stream := r.watches[asked.Stream]
		r.mutex.Unlock()
		if stream == nil {
			return failed(fmt.Errorf("no stream %q", asked.Stream))
		}
		return stream.next(time.Duration(asked.TimeoutMS) * time.Millisecond)
	}
	r.mutex.Lock()
	client := r.clients[asked.Client]
	r.mutex.Unlock()
	if client == nil {
		return failed(fmt.Errorf("no client %q", asked.Client))
	}
	switch asked.Do {
	case "call":
		return client.call(ctx, asked)
	case "send":
		return client.send(ctx, asked)
	case "load":
		return client.load(ctx, asked)
	case "overhead":
		return client.overhead(ctx, asked)
	}
	return failed(fmt.Errorf("unknown command %q", asked.Do))
}

func failed(err error) answer { return answer{"error": failure(err)} }

// failure returns an error as the protocol has it.
func failure(err error) answer {
	told := answer{
		"code": "HTTP", "reason": "", "message": err.Error(), "metadata": map[string]string{},
		"field": "", "retry_after_ms": nil, "is_retryable": false,
		"text": fmt.Sprintf("%v %+v %#v", err, err, err),
	}
	var typed *privyseal.Error
	var wrong *privyseal.ConfigurationError
	switch {
	case errors.As(err, &typed):
		told["code"] = code.Code(typed.Code).String()
		told["reason"] = typed.Reason
		told["message"] = typed.Message
		if typed.Metadata != nil {
			told["metadata"] = typed.Metadata
		}
		told["field"] = typed.Field
		told["is_retryable"] = typed.IsRetryable()
		if wait, ok := typed.RetryAfter(); ok {
			told["retry_after_ms"] = wait.Milliseconds()
		}
	case errors.As(err, &wrong):
		told["code"] = "CONFIGURATION"
	case errors.Is(err, privyseal.ErrRefused):
		told["code"] = "REFUSED"
	case errors.Is(err, context.Canceled):
		told["code"] = "CANCELLED"
	case errors.Is(err, context.DeadlineExceeded):
		told["code"] = "DEADLINE_EXCEEDED"
	}
	return told
}
