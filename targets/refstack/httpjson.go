package refstack

import (
	"encoding/json"
	"net/http"
)

// A counter is what Region.Touched and Store.Readers answer.
type counter struct {
	Count int64  `json:"count"`
	What  string `json:"what"`
}

// A failure is how control APIs word an error.
type failure struct {
	Error string `json:"error"`
}

// writeJSON answers with v. A client that has gone is not told.
func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
