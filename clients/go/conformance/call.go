package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

func (c *connected) call(ctx context.Context, asked *command) answer {
	request, err := c.request(asked.RPC, asked.Request)
	if err != nil {
		return failed(err)
	}
	ctx, cancel := withTimeout(ctx, asked)
	defer cancel()
	if asked.CancelAfterMS != nil {
		timer := time.AfterFunc(time.Duration(*asked.CancelAfterMS)*time.Millisecond, cancel)
		defer timer.Stop()
	}
	began := time.Now()
	response, err := c.invoke(ctx, asked.RPC, request)
	elapsed := time.Since(began).Milliseconds()
	if err != nil {
		return answer{"error": failure(err), "elapsed_ms": elapsed}
	}
	content, err := proto.Marshal(response)
	if err != nil {
		return failed(err)
	}
	return answer{"response": content, "elapsed_ms": elapsed}
}

// request returns the message of an RPC's method.
func (c *connected) request(rpc string, content []byte) (proto.Message, error) {
	method := reflect.ValueOf(c.Client).MethodByName(rpc)
	if !method.IsValid() || method.Type().NumIn() < 2 {
		return nil, fmt.Errorf("no RPC %q", rpc)
	}
	request, ok := reflect.New(method.Type().In(1).Elem()).Interface().(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%q takes no message", rpc)
	}
	return request, proto.Unmarshal(content, request)
}

func (c *connected) invoke(
	ctx context.Context, rpc string, request proto.Message,
) (proto.Message, error) {
	method := reflect.ValueOf(c.Client).MethodByName(rpc)
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(request)})
	if err, ok := results[1].Interface().(error); ok {
		return nil, err
	}
	response, _ := results[0].Interface().(proto.Message)
	return response, nil
}

func (c *connected) load(ctx context.Context, asked *command) answer {
	template, err := c.request(asked.RPC, asked.Request)
	if err != nil {
		return failed(err)
	}
	var mutex sync.Mutex
	succeeded, failures := 0, map[string]int{}
	ahead := make(chan struct{})
	var running sync.WaitGroup
	for range max(1, asked.Concurrency) {
		running.Go(func() {
			for range ahead {
				request := proto.Clone(template)
				if asked.RequestIDs {
					setRequestID(request)
				}
				_, err := c.invoke(ctx, asked.RPC, request)
				mutex.Lock()
				if err == nil {
					succeeded++
				} else {
					failures[code.Code(status.Code(err)).String()]++
				}
				mutex.Unlock()
			}
		})
	}
	for range asked.Count {
		ahead <- struct{}{}
	}
	close(ahead)
	running.Wait()
	return answer{"succeeded": succeeded, "failed": failures}
}

func (c *connected) overhead(ctx context.Context, asked *command) answer {
	request := new(privysealv1.SignRequest)
	if err := proto.Unmarshal(asked.Request, request); err != nil {
		return failed(err)
	}
	conn, err := c.bareConn()
	if err != nil {
		return failed(err)
	}
	defer func() { _ = conn.Close() }()
	stub := privysealv1.NewSigningServiceClient(conn)
	var byClient, byStub []float64
	const warmUp = 20
	for round := range asked.Count + warmUp {
		began := time.Now()
		if _, err := c.Sign(ctx, request); err != nil {
			return failed(err)
		}
		between := time.Now()
		if _, err := stub.Sign(ctx, request); err != nil {
			return failed(err)
		}
		if round >= warmUp {
			byClient = append(byClient, float64(between.Sub(began).Nanoseconds())/1e3)
			byStub = append(byStub, float64(time.Since(between).Nanoseconds())/1e3)
		}
	}
	return answer{"client_us": median(byClient), "stub_us": median(byStub)}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func withTimeout(ctx context.Context, asked *command) (context.Context, context.CancelFunc) {
	if asked.TimeoutMS > 0 {
		return context.WithTimeout(ctx, time.Duration(asked.TimeoutMS)*time.Millisecond)
	}
	return context.WithCancel(ctx)
}

func setRequestID(request proto.Message) {
	message := request.ProtoReflect()
	if field := message.Descriptor().Fields().ByName("request_id"); field != nil {
		var id [16]byte
		_, _ = rand.Read(id[:])
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		text := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
		message.Set(field, protoreflect.ValueOfString(text))
	}
}
