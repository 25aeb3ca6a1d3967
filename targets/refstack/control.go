package refstack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/failwhale/failwhale/targets"
)

// controlLimit bounds one order: a start includes the time until the process serves.
const controlLimit = 30 * time.Second

// control is the supervisor's API:
//
//	GET  /v1/processes               every process's state, by name
//	POST /v1/processes/{name}/kill   SIGKILL, and hold down; answers once it has ended
//	POST /v1/processes/{name}/stop   SIGSTOP; answers once it stands still
//	POST /v1/processes/{name}/start  SIGCONT, or release and start; answers once it serves
//
// Every order may be repeated.
func (s *supervisor) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/processes", func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]targets.ProcessState{}
		for _, c := range s.children {
			all[c.name] = c.state()
		}
		writeJSON(w, http.StatusOK, all)
	})
	for verb, do := range map[string]func(*child, context.Context) error{
		"kill":  (*child).kill,
		"stop":  (*child).freeze,
		"start": func(c *child, ctx context.Context) error { return c.release(ctx, s.serves) },
	} {
		mux.HandleFunc("POST /v1/processes/{name}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			s.order(w, r, do)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, failure{fmt.Sprintf(
			"%s %s isn't served: want GET /v1/processes or POST /v1/processes/{name}/kill, stop or start", r.Method, r.URL.Path)})
	})
	return mux
}

func (s *supervisor) order(w http.ResponseWriter, r *http.Request, do func(*child, context.Context) error) {
	name := r.PathValue("name")
	i := slices.IndexFunc(s.children, func(c *child) bool { return c.name == name })
	if i < 0 {
		names := make([]string, len(s.children))
		for k, c := range s.children {
			names[k] = c.name
		}
		writeJSON(w, http.StatusNotFound, failure{fmt.Sprintf("process %q isn't one of [%s]", name, strings.Join(names, " "))})
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), controlLimit, fmt.Errorf("%s have passed", controlLimit))
	defer cancel()
	if err := do(s.children[i], ctx); err != nil {
		writeJSON(w, http.StatusInternalServerError, failure{err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, s.children[i].state())
}
