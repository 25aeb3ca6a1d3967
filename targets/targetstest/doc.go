// Package targetstest has servers that do exactly what a test says, byte for
// byte: they answer a request by a script of bytes, pauses and ends, clean or
// not. They are for tests of whatever talks to an inference server.
//
// They are no inference servers: nothing is computed, and of a request only so
// much is read as is needed to know where it ends. For a stack that behaves like
// one, with queues and failures of its own, there is targets/refstack.
//
//	request ─► Server.handle(Request) ─► Script ─► Step, Step, Step … ─► socket
//	                    │
//	                    └► Requests(), Accepts(): what the server saw
//
// The scripts write to raw sockets because net/http/httptest cannot do what
// matters here: end a chunked body without its last chunk, send a reset, close a
// connection that it promised to keep, or cut a write anywhere.
//
// Server2 does the same over HTTP/2, frame by frame: there a script is a function of the stream.
package targetstest
