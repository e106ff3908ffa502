// Command conformance does what the conformance cases tell it: commands come in on standard
// input, one JSON object a line, and answers go out on standard output.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// command is any command; the fields that it does not have are empty.
type command struct {
	ID int64  `json:"id"`
	Do string `json:"do"`

	Client      string    `json:"client"`
	Targets     []string  `json:"targets"`
	TLS         *tlsFiles `json:"tls"`
	TokenFile   string    `json:"token_file"`
	Plaintext   bool      `json:"plaintext"`
	TimeoutMS   int64     `json:"timeout_ms"`
	MaxAttempts int       `json:"max_attempts"`

	RPC           string `json:"rpc"`
	Request       []byte `json:"request"`
	CancelAfterMS *int64 `json:"cancel_after_ms"`
	Stream        string `json:"stream"`

	Key          string      `json:"key"`
	Method       string      `json:"method"`
	URL          string      `json:"url"`
	Headers      [][2]string `json:"headers"`
	Body         []byte      `json:"body"`
	Login        *bool       `json:"login"`
	Report       string      `json:"report"`
	MaxBodyBytes int64       `json:"max_body_bytes"`
	Times        int         `json:"times"`

	Count       int  `json:"count"`
	Concurrency int  `json:"concurrency"`
	RequestIDs  bool `json:"request_ids"`
}

type tlsFiles struct {
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	PrivateKey  string `json:"private_key"`
	ServerName  string `json:"server_name"`
}

// answer is what goes out, beside the id.
type answer map[string]any

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "runner:", err)
		os.Exit(1)
	}
}

func serve() error {
	runner := newRunner()
	out := bufio.NewWriter(os.Stdout)
	var writing sync.Mutex
	write := func(id int64, what answer) {
		what["id"] = id
		writing.Lock()
		defer writing.Unlock()
		if err := json.NewEncoder(out).Encode(what); err == nil {
			_ = out.Flush()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var asked command
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		// What makes and ends clients and streams is done in order, the rest at once.
		if result := runner.settle(ctx, &asked); result != nil {
			write(asked.ID, result)
			continue
		}
		running.Go(func() { write(asked.ID, runner.do(ctx, &asked)) })
	}
	return lines.Err()
}
