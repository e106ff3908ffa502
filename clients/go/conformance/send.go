package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/privyseal/privyseal/clients/go"
)

func (c *connected) send(ctx context.Context, asked *command) answer {
	var options []privyseal.TransportOption
	if asked.Login != nil && !*asked.Login {
		options = append(options, privyseal.WithoutLogin())
	}
	switch asked.Report {
	case "", "errors":
	case "all":
		options = append(options, privyseal.WithReport(privyseal.ReportAll))
	case "none":
		options = append(options, privyseal.WithReport(privyseal.ReportNone))
	default:
		return failed(fmt.Errorf("unknown report %q", asked.Report))
	}
	if asked.MaxBodyBytes > 0 {
		options = append(options, privyseal.WithMaxBody(asked.MaxBodyBytes))
	}
	ctx, cancel := withTimeout(ctx, asked)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, asked.Method, asked.URL, nil)
	if err != nil {
		return failed(err)
	}
	for _, header := range asked.Headers {
		request.Header.Add(header[0], header[1])
	}
	sender := http.Client{Transport: c.Transport(asked.Key, options...)}
	var last answer
	for range max(1, asked.Times) {
		if asked.Body != nil {
			request.ContentLength = int64(len(asked.Body))
			request.Body = io.NopCloser(bytes.NewReader(asked.Body))
		}
		if last = sendOnce(&sender, request); last["error"] != nil {
			return last
		}
	}
	return last
}

func sendOnce(sender *http.Client, request *http.Request) answer {
	response, err := sender.Do(request)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return failed(err)
	}
	headers := [][2]string{}
	for name, values := range response.Header {
		for _, value := range values {
			headers = append(headers, [2]string{name, value})
		}
	}
	return answer{"status": response.StatusCode, "headers": headers, "body": body}
}
