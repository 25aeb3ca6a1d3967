package targetstest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A Script is what a server does once it has read a request. When all its steps
// are done, the connection stays open for the next request.
type Script []Step

// A Step is one thing that a server does on a connection. An error ends the
// connection: that the client has left, or that the script wants it.
type Step func(context.Context, net.Conn) error

var errEnd = errors.New("end of the connection")

// Send writes text in one write, or nothing if it is empty.
func Send(text string) Step {
	return func(_ context.Context, c net.Conn) error {
		if text == "" {
			return nil
		}
		_, err := io.WriteString(c, text)
		return err
	}
}

// SendEach writes each text in a write of its own, so many apart.
func SendEach(apart time.Duration, texts ...string) Step {
	return func(ctx context.Context, c net.Conn) error {
		for i, text := range texts {
			if i > 0 {
				if err := Pause(apart)(ctx, c); err != nil {
					return err
				}
			}
			if err := Send(text)(ctx, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// Pause does nothing for so long.
func Pause(d time.Duration) Step {
	return func(ctx context.Context, _ net.Conn) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Hang does nothing until the client leaves or the server is closed.
func Hang() Step {
	return func(_ context.Context, c net.Conn) error {
		_, err := io.Copy(io.Discard, c)
		return errors.Join(err, errEnd)
	}
}

// FIN ends the connection in order: what was sent arrives, and then an end.
func FIN() Step { return func(context.Context, net.Conn) error { return errEnd } }

// RST ends the connection by a reset, under TLS without a word.
func RST() Step {
	return func(_ context.Context, c net.Conn) error {
		c = bare(c)
		if tcp, ok := c.(*net.TCPConn); ok {
			return errors.Join(tcp.SetLinger(0), c.Close(), errEnd)
		}
		return errors.Join(c.Close(), errEnd)
	}
}

// BareFIN is FIN, but under TLS the word by which that ends (close_notify) is not said.
func BareFIN() Step {
	return func(_ context.Context, c net.Conn) error { return errors.Join(bare(c).Close(), errEnd) }
}

// SendBare writes text below TLS, where it is no record.
func SendBare(text string) Step {
	return func(ctx context.Context, c net.Conn) error { return Send(text)(ctx, bare(c)) }
}

// bare is the connection below TLS, or c where there is none.
func bare(c net.Conn) net.Conn {
	if secure, ok := c.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return c
}

// StreamHead is the head of a chunked event stream that promises to keep the connection.
const StreamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// StreamEnd is the end of a chunked body.
const StreamEnd = "0\r\n\r\n"

// Done is OpenAI's last event, in its own HTTP chunk.
const Done = "e\r\ndata: [DONE]\n\n\r\n"

// Chunk puts text into one HTTP chunk.
func Chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// Data is an event with this payload, in its own HTTP chunk.
func Data(payload string) string { return Chunk("data: " + payload + "\n\n") }

// Head is a head without framing: the body ends where the connection does.
func Head(status, contentType string) string {
	return "HTTP/1.1 " + status + "\r\nContent-Type: " + contentType + "\r\nConnection: close\r\n\r\n"
}

// Reply is a whole response with a length; header lines end in \r\n each.
func Reply(status, contentType, headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		status, contentType, headers, len(body), body)
}

// Token is a chat completion chunk with this content, as vLLM writes it.
func Token(content string) string {
	return Data(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",` +
		`"choices":[{"index":0,"delta":{"content":` + quote(content) + `},"logprobs":null,"finish_reason":null}]}`)
}

// Role is the chunk that only names the speaker.
func Role() string {
	return Data(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`)
}

// Finish is the chunk with the finish_reason.
func Finish(reason string) string {
	return Data(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":` + quote(reason) + `}]}`)
}

// Usage is the chunk with the token counts.
func Usage(prompt, output int) string {
	return Data(fmt.Sprintf(`{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
		prompt, output, prompt+output))
}

// Answer is a whole good stream of these tokens in one text: head to end.
func Answer(tokens ...string) string {
	var b strings.Builder
	b.WriteString(StreamHead + Role())
	for _, t := range tokens {
		b.WriteString(Token(t))
	}
	b.WriteString(Finish("stop") + Usage(10, len(tokens)) + Done + StreamEnd)
	return b.String()
}

func quote(text string) string {
	q, err := json.Marshal(text)
	if err != nil {
		panic(err) // no string fails to encode
	}
	return string(q)
}
