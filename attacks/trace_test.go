package attacks_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/results"
)

// replayed draws a trace's arrivals, with shapes of their own.
func replayed(trace attacks.Trace, seed uint64) (all []attacks.Arrival, err error) {
	for a, err := range (attacks.Profile{Trace: &trace}).Arrivals(results.Baseline, seed) {
		if err != nil {
			return all, err
		}
		shape := *a.Shape
		shape.Blocks = append([]uint64(nil), shape.Blocks...)
		a.Shape = &shape
		all = append(all, a)
	}
	return all, nil
}

// Each format is known by its first line and read as it is meant: times, lengths, blocks.
func TestTraceFormats(t *testing.T) {
	at := func(d time.Duration, prompt, output, block int, blocks ...uint64) attacks.Arrival {
		return attacks.Arrival{At: d, Shape: &attacks.Shape{PromptTokens: prompt, OutputTokens: output, Blocks: blocks, BlockTokens: block}}
	}
	for file, want := range map[string][]attacks.Arrival{
		"azure-2023.csv": {
			at(0, 374, 44, 0), at(4314579000, 396, 109, 0), at(4314579100, 879, 1, 0), at(20653319410000, 91, 16, 0),
		},
		"azure-2024.csv": {
			at(0, 2162, 5, 0), at(490070*time.Microsecond, 2399, 6, 0), at(990070*time.Microsecond, 76, 15, 0),
			at(1240070*time.Microsecond, 2376, 4, 0), at(1990070*time.Microsecond, 1, 2, 0),
		},
		"azure-2025.csv.gz": {at(0, 1342, 86, 0), at(250*time.Millisecond, 20, 7, 0)},
		"burstgpt.csv":      {at(0, 472, 18, 0), at(40*time.Second, 1087, 1, 0), at(40250*time.Millisecond, 87, 230, 0)},
		"mooncake.jsonl":    {at(0, 1500, 50, 512, 7, 8, 9), at(0, 1300, 49, 512, 7, 8, 10), at(3*time.Second, 700, 3, 512, 7, 11)},
		"bailian.jsonl":     {at(0, 40, 132, 16, 1089, 1090, 6326), at(500, 60, 80, 16, 1089, 1090, 6327, 6328)},
		"own.jsonl":         {at(5, 100, 10, 0), at(6, 64, 1, 32, math.MaxUint64, 2)},
	} {
		got, err := replayed(attacks.Trace{File: filepath.Join("testdata", file)}, 1)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", file, diff)
		}
	}
}

// Spreadsheets and other systems write marks, ends of lines, quotes and blanks of their own, and other columns.
func TestTraceOfASpreadsheet(t *testing.T) {
	for _, text := range []string{
		"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.5,7,3\n2024-05-10 00:00:01.7500000009,0,4\n",
		"\ufeffTIMESTAMP,ContextTokens,GeneratedTokens\r\n2024-05-10 00:00:00.5,7,3\r\n2024-05-10 00:00:01.75,0,4\r\n",
		"\r\n timestamp , contexttokens,GENERATEDTOKENS \n\n 2024-05-10T00:00:00.5Z\t, 7 ,\t3\n2024-05-10T02:00:01.75+02:00,0,4",
		"Note,\"GeneratedTokens\",\"TIMESTAMP\",ContextTokens\n\"a, \"\"b\"\"\",\"3\",\"2024-05-10 00:00:00.500\",7.0\n,4,2024-05-10 00:00:01.750,0\n",
		"\ufeff" + `{"timestamp":0.5,"input_length":7,"output_length":3,"chat_id":1}` + "\r\n" + `{"timestamp":1.75,"input_length":0,"output_length":4}`,
	} {
		got, err := replayed(trace(t, text), 1)
		if err != nil || len(got) != 2 || got[1].At != 1250*time.Millisecond || got[0].Shape.PromptTokens != 7 || got[0].Shape.OutputTokens != 3 ||
			got[1].Shape.PromptTokens != 1 || got[1].Shape.OutputTokens != 4 {
			t.Errorf("%q: %d requests, %v; want two, of 7 and 3 tokens, and 1.25s later of 1 and 4", text, len(got), err)
		}
	}
}

// trace writes a file and returns a trace of it.
func trace(tb testing.TB, text string) attacks.Trace {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "trace")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return attacks.Trace{File: file}
}

// What is wrong with a trace is said with its file and line.
func TestTraceErrors(t *testing.T) {
	const azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "line 1: is empty"},
		{"blank", "\n\n \n", "is empty"},
		{"no rows", azure, "holds no request"},
		{"other csv", "a,b,c\n1,2,3\n", "line 1: is none of the formats that are known"},
		{"other json", `{"a":1}`, "line 1: is none of the formats"},
		{"no json", `{"a":`, "line 1: "},
		{"prose", "To be, or not to be\n", "is none of the formats"},
		{"a zip that is none", "\x1f\x8bxx", "line 1: unzip: "},
		{"a newer one of ours", `{"failwhale_trace":2}`, "line 1: failwhale_trace 2 is not known"},
		{"bad time", azure + "2023-11-16 18:15:46,1,1\n2023-13-16 18:15:46,1,1\n", `line 3: column 1: "2023-13-16 18:15:46" is not a time`},
		{"no leap day", azure + "2023-02-29 18:15:46,1,1\n", "is not a time"},
		{"bad zone", azure + "2023-02-28 18:15:46+1,1,1\n", "is not a time"},
		{"no fraction", azure + "2023-02-28 18:15:46.,1,1\n", "is not a time"},
		{"bad length", azure + "2023-11-16 18:15:46,many,1\n", `line 2: column 2: "many" is not a number`},
		{"negative length", azure + "2023-11-16 18:15:46,1,-1\n", `line 2: column 3: "-1" is not a number of 0 or more`},
		{"absurd length", azure + "2023-11-16 18:15:46,1,2000001\n", "line 2: a length of 2000001 tokens is not between"},
		{"endless length", azure + "2023-11-16 18:15:46,99999999999999999999999,1\n", "is out of range"},
		{"short row", azure + "2023-11-16 18:15:46,1\n", "line 2: has 2 columns, and the header 3 or more"},
		{"quotes", azure + "\"2023-11-16 18:15:46,1,1\n", "line 2: "},
		{"not in order", azure + "2023-11-16 18:15:46,1,1\n\n2023-11-16 18:15:45.5,1,1\n", "line 4: is 500ms earlier than the line before it: sort"},
		{"no timestamp", `{"timestamp":1,"input_length":1,"output_length":1}` + "\n" + `{"input_length":1,"output_length":1}`, "line 2: timestamp is missing"},
		{"no output", `{"timestamp":1,"input_length":1}`, "line 1: output_length is missing"},
		{"bad hash", `{"timestamp":1,"input_length":1,"output_length":1,"hash_ids":[-1]}`, "line 1: json: "},
		{"no block", `{"failwhale_trace":1}` + "\n" + `{"due_ns":1,"prompt_tokens":1,"output_tokens":1,"blocks":[1]}`, "line 2: block_tokens 0"},
		{"endless line", azure + "2023-11-16 18:15:46,1,1\n" + strings.Repeat("x", 9<<20), "line 3: is longer than 8 MB"},
	} {
		given := trace(t, tt.text)
		_, err := replayed(given, 1)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), given.File) {
			t.Errorf("%s: %v; want %s and %q", tt.name, err, given.File, tt.want)
		}
	}
	for _, tt := range []struct {
		name  string
		trace attacks.Trace
		want  string
	}{
		{"no file", attacks.Trace{File: "testdata/none.csv"}, "open trace: stat testdata/none.csv: no such file"},
		{"no regular file", attacks.Trace{File: "testdata"}, "testdata is not a file"},
		{"too late", attacks.Trace{File: "testdata/mooncake.jsonl", Start: time.Minute}, "holds no request at 1m0s or after: it ends at 3s"},
		{"in a gap", attacks.Trace{File: "testdata/mooncake.jsonl", Start: time.Second, End: 2 * time.Second}, "holds no request from 1s to 2s"},
	} {
		if _, err := replayed(tt.trace, 1); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
	// An attack on such a trace is refused before it begins.
	cfg, _ := config("http://127.0.0.1:1")
	cfg.Profile = attacks.Profile{Trace: &attacks.Trace{File: "testdata/none.csv"}}
	if _, err := attacks.New(cfg); err == nil || !strings.Contains(err.Error(), "profile: open trace") {
		t.Errorf("New = %v; want it refused", err)
	}
}

// azureRows reads Azure's file in another way: by the csv package and exact fractions.
func azureRows(t *testing.T) (file string, at []*big.Rat, lengths [][2]string) {
	t.Helper()
	file = filepath.Join("..", "..", "shared", "traces", "azure-2023-conv.csv")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skip("no recorded traces here: ", err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows[1:] {
		day, err := time.Parse("2006-01-02 15:04:05", r[0][:19])
		if err != nil {
			t.Fatal(err)
		}
		fraction, ok := new(big.Rat).SetString("0" + r[0][19:])
		if !ok {
			t.Fatalf("%q has no fraction", r[0])
		}
		at = append(at, fraction.Add(fraction, new(big.Rat).SetInt64(day.Unix())))
		lengths = append(lengths, [2]string{r[1], r[2]})
	}
	return file, at, lengths
}

// Sixty times as fast, Azure's trace keeps its order, its lengths, and every gap to a nanosecond.
func TestAzureAtSpeed(t *testing.T) {
	file, want, lengths := azureRows(t)
	got, err := replayed(attacks.Trace{File: file, Speed: 60}, 1)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d arrivals, %v; want %d", len(got), err, len(want))
	}
	scale := big.NewRat(1_000_000_000, 60)
	for i, a := range got {
		if has := [2]string{fmt.Sprint(a.Shape.PromptTokens), fmt.Sprint(a.Shape.OutputTokens)}; has != lengths[i] {
			t.Fatalf("request %d has lengths %v, want %v", i, has, lengths[i])
		}
		if i == 0 {
			continue
		}
		gap := new(big.Rat).Sub(want[i], want[i-1])
		gap.Mul(gap, scale)
		gap.Sub(gap, new(big.Rat).SetInt64(int64(a.At-got[i-1].At)))
		if off, _ := gap.Float64(); math.Abs(off) > 1 {
			t.Fatalf("gap %d is off by %v ns", i, off)
		}
	}
}

// A cut begins at 0, a mark in a plain file and none in a zipped one make no difference, and thinning keeps times.
func TestTraceKnobs(t *testing.T) {
	var b strings.Builder
	b.WriteString("TIMESTAMP,ContextTokens,GeneratedTokens\n")
	day := time.Date(2024, 5, 10, 0, 0, 0, 0, time.UTC)
	for i := range 10_000 {
		fmt.Fprintf(&b, "%s,%d,1\n", day.Add(time.Duration(i)*time.Second).Format("2006-01-02 15:04:05.000000+00:00"), i+1)
	}
	plain := trace(t, b.String())
	zipped := trace(t, zip(t, b.String()))
	for _, tr := range []attacks.Trace{plain, zipped} {
		tr.Start, tr.End, tr.Speed = 1000*time.Second, 1010*time.Second, 2
		got, err := replayed(tr, 1)
		if err != nil || len(got) != 10 || got[0].At != 0 || got[9].At != 4500*time.Millisecond || got[0].Shape.PromptTokens != 1001 {
			t.Errorf("%s: %v, %v; want ten requests in 4.5 s", tr, got, err)
		}
	}
	thin := plain
	thin.Keep = 0.2
	got, err := replayed(thin, 1)
	if n := float64(len(got)); err != nil || math.Abs(n-2000) > 5*math.Sqrt(1600) {
		t.Errorf("%v requests of 10000 were kept, %v; want about 2000", n, err)
	}
	for _, a := range got {
		if want := time.Duration(a.Shape.PromptTokens-1) * time.Second; a.At != want {
			t.Fatalf("request %d is due at %s, want %s: thinning moves nothing", a.Shape.PromptTokens, a.At, want)
		}
	}
	again, _ := replayed(thin, 1)
	other, _ := replayed(thin, 2)
	if !cmp.Equal(got, again) || cmp.Equal(got, other) {
		t.Error("thinning does not go by the seed")
	}
}

// What Schedule yields is a trace, and replayed it is the same schedule: also of one that begins with a pause.
func TestOwnFormat(t *testing.T) {
	all := []attacks.Profile{{Spike: &attacks.Spike{Rate: 20, At: 5 * time.Second, For: time.Second}}}
	for _, file := range []string{"azure-2023.csv", "mooncake.jsonl", "bailian.jsonl", "own.jsonl"} {
		all = append(all, attacks.Profile{Trace: &attacks.Trace{File: filepath.Join("testdata", file)}})
	}
	for _, p := range all {
		text := own(t, attacks.Config{Profile: p, Seed: 1})
		copied := trace(t, text)
		second := attacks.Config{Profile: attacks.Profile{Trace: &copied}, Seed: 9}
		if diff := cmp.Diff(text, own(t, second)); diff != "" {
			t.Errorf("%s, replayed from its copy, differs (-first +second):\n%s", p, diff)
		}
	}
}

func own(t *testing.T, cfg attacks.Config) string {
	t.Helper()
	text := []byte(attacks.TraceHeader)
	for r, err := range cfg.Schedule(results.Baseline) {
		if err != nil {
			t.Fatal(err)
		}
		text = attacks.AppendTrace(text, r)
	}
	return string(text)
}

// Lengths come from the trace, unless the workload is written.
func TestTheWrittenWorkloadWins(t *testing.T) {
	cfg := attacks.Config{Profile: attacks.Profile{Trace: &attacks.Trace{File: "testdata/mooncake.jsonl"}}, Seed: 1}
	for _, tt := range []struct {
		work           attacks.Workload
		prompt, blocks int
	}{
		{attacks.Workload{}, 1500, 3},
		{attacks.Workload{{Preset: attacks.ChatShort}}, 64, 0},
		{attacks.Workload{{Feature: attacks.Code}}, 1500, 3},
		{attacks.Workload{{Models: map[string]attacks.Share{"tiny": 1}}}, 1500, 3},
		{attacks.Workload{{PromptTokens: attacks.Length{Fixed: 10}, OutputTokens: attacks.Length{Fixed: 20}}}, 10, 0},
	} {
		cfg.Workload = tt.work
		for r, err := range cfg.Schedule(results.Baseline) {
			if err != nil || r.PromptTokens != tt.prompt || len(r.Blocks) != tt.blocks {
				t.Errorf("workload %+v: first request %+v, %v; want %d tokens, %d blocks", tt.work, r, err, tt.prompt, tt.blocks)
			}
			break
		}
	}
	cfg.Profile = attacks.Profile{Concurrency: &attacks.Concurrency{Users: 5}}
	for r, err := range cfg.Schedule(results.Baseline) {
		if err == nil || !strings.Contains(err.Error(), "closed loop of 5 users has no schedule") {
			t.Errorf("Schedule of a closed loop = %+v, %v; want an error", r, err)
		}
	}
}

// No bytes make a reader panic or hang, or give what cannot be: times that fall, lengths out of bounds.
func FuzzTrace(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(text, uint16(0))
			f.Add(text, uint16(60))
		}
	}
	f.Add([]byte(`{"timestamp":1e-5,"input_length":1,"output_length":"7","hash_ids":null}`), uint16(3))
	f.Add([]byte("TIMESTAMP,ContextTokens,GeneratedTokens\n1970-01-01T00:00:00-99:99,1,1e3\n"), uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, speed uint16) {
		tr := trace(t, string(text))
		tr.Speed = float64(speed)
		last := time.Duration(0)
		for a, err := range (attacks.Profile{Trace: &tr}).Arrivals(results.Baseline, 1) {
			if err != nil {
				if strings.ContainsAny(err.Error(), "\n") {
					t.Errorf("an error of several lines: %v", err)
				}
				return
			}
			s := a.Shape
			if a.At < last || s.PromptTokens < 1 || s.OutputTokens < 1 || s.PromptTokens > 2_000_000 || s.OutputTokens > 2_000_000 ||
				len(s.Blocks) > 0 && s.BlockTokens < 1 {
				t.Fatalf("arrival %+v %+v after one at %s", a, *s, last)
			}
			last = a.At
		}
	})
}

// mooncake is the recorded trace's first rows; the test is skipped where it is not.
func mooncake(t *testing.T, rows int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "traces", "mooncake-conversation-4000.jsonl"))
	if err != nil {
		t.Skip("no recorded traces here: ", err)
	}
	return strings.Join(strings.SplitAfterN(string(text), "\n", rows+1)[:rows], "")
}

// ids reads the blocks of each row in another way.
func ids(t *testing.T, text string) (all [][]uint64, tokens []int) {
	t.Helper()
	for line := range strings.Lines(text) {
		var row struct {
			Hash  []uint64 `json:"hash_ids"`
			Input int      `json:"input_length"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		all, tokens = append(all, row.Hash), append(tokens, row.Input)
	}
	return all, tokens
}
