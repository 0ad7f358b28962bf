package asfake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	as "github.com/aerospike/aerospike-client-go/v7"
	"github.com/aerospike/aerospike-client-go/v7/types"
)

// A Step is one operation of a script. A batch has its operations in Batch.
type Step struct {
	Op      string            `json:"op"` // put, get, exists, delete, touch, add, append, operate, truncate, batch
	Key     string            `json:"key,omitempty"`
	Text    bool              `json:"text,omitempty"`    // the key is a string and not bytes
	Filter  string            `json:"filter,omitempty"`  // only if the bin "v" has this text
	Bins    map[string]string `json:"bins,omitempty"`    // written; an empty text removes the bin
	Size    int               `json:"size,omitempty"`    // put: the bin "v" gets this many bytes
	Add     int               `json:"add,omitempty"`     // to the bin "n"
	Names   []string          `json:"names,omitempty"`   // bins to read; none means all
	Exists  string            `json:"exists,omitempty"`  // create, update, replace, replaceOnly
	Gen     *uint32           `json:"gen,omitempty"`     // expected generation
	Durable bool              `json:"durable,omitempty"` // durable delete
	Batch   []Step            `json:"batch,omitempty"`
}

// A Result is what a server answered.
type Result struct {
	Code  int            `json:"code"`
	Gen   uint32         `json:"gen,omitempty"`
	Found bool           `json:"found,omitempty"`
	Bins  map[string]any `json:"bins,omitempty"`
	Batch []Result       `json:"batch,omitempty"`
}

// A Line is a step and its result: one line of a transcript, as JSON.
type Line struct {
	Step   Step   `json:"step"`
	Result Result `json:"result"`
}

// A Script runs steps against a server, in a namespace and a set.
type Script struct {
	Client    *as.Client
	Namespace string
	Set       string
}

// Run runs the steps one after the other. It fails only when a step makes no
// sense: what the server refuses is a result.
func (s Script) Run(steps []Step) ([]Line, error) {
	var lines []Line
	for i, step := range steps {
		r, err := s.step(step)
		if err != nil {
			return lines, fmt.Errorf("step %d: %w", i, err)
		}
		lines = append(lines, Line{step, r})
	}
	return lines, nil
}

func (s Script) step(step Step) (Result, error) {
	if step.Op == "batch" {
		return s.batch(step.Batch)
	}
	k, err := s.key(step)
	if err != nil {
		return Result{}, err
	}
	p, err := step.policy()
	if err != nil {
		return Result{}, err
	}
	switch step.Op {
	case "put":
		return outcome(nil, s.Client.PutBins(p, k, step.bins()...)), nil
	case "get":
		r, err := s.Client.Get(nil, k, step.Names...)
		return outcome(r, err), nil
	case "exists":
		found, err := s.Client.Exists(nil, k)
		r := outcome(nil, err)
		r.Found = found
		return r, nil
	case "delete":
		found, err := s.Client.Delete(p, k)
		r := outcome(nil, err)
		r.Found = found
		return r, nil
	case "touch":
		return outcome(nil, s.Client.Touch(p, k)), nil
	case "add":
		return outcome(nil, s.Client.AddBins(p, k, as.NewBin("n", step.Add))), nil
	case "append":
		return outcome(nil, s.Client.AppendBins(p, k, step.bins()...)), nil
	case "operate":
		r, err := s.Client.Operate(p, k, step.ops()...)
		return outcome(r, err), nil
	case "truncate": // the set
		return outcome(nil, s.Client.Truncate(nil, s.Namespace, s.Set, nil)), nil
	default:
		return Result{}, fmt.Errorf("asfake: no operation %q", step.Op)
	}
}

func (s Script) key(step Step) (*as.Key, error) {
	var key any = []byte(step.Key)
	if step.Text {
		key = step.Key
	}
	k, err := as.NewKey(s.Namespace, s.Set, key)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (s Script) batch(steps []Step) (Result, error) {
	var records []as.BatchRecordIfc
	for _, step := range steps {
		r, err := s.batchRecord(step)
		if err != nil {
			return Result{}, err
		}
		records = append(records, r)
	}
	p := as.NewBatchPolicy()
	p.MaxRetries, p.RespondAllKeys = 0, true
	// What happened to a record is with the record.
	_ = s.Client.BatchOperate(p, records)
	var out Result
	for _, r := range records {
		rec := r.BatchRec()
		one := Result{Code: int(rec.ResultCode)}
		if rec.ResultCode == types.OK {
			one = outcome(rec.Record, nil)
		}
		out.Batch = append(out.Batch, one)
	}
	return out, nil
}

func (s Script) batchRecord(step Step) (as.BatchRecordIfc, error) {
	k, err := s.key(step)
	if err != nil {
		return nil, err
	}
	p, err := step.policy()
	if err != nil {
		return nil, err
	}
	switch step.Op {
	case "put", "operate":
		wp := as.NewBatchWritePolicy()
		wp.GenerationPolicy, wp.Generation, wp.RecordExistsAction = p.GenerationPolicy, p.Generation, p.RecordExistsAction
		return as.NewBatchWrite(wp, k, step.ops()...), nil
	case "get":
		if len(step.Names) == 0 {
			return as.NewBatchReadOps(nil, k, as.GetOp()), nil
		}
		return as.NewBatchRead(nil, k, step.Names), nil
	case "exists":
		return as.NewBatchReadHeader(nil, k), nil
	case "delete":
		dp := as.NewBatchDeletePolicy()
		dp.DurableDelete = step.Durable
		return as.NewBatchDelete(dp, k), nil
	default:
		return nil, fmt.Errorf("asfake: no operation %q in a batch", step.Op)
	}
}

func (step Step) bins() []*as.Bin {
	var bins []*as.Bin
	for name, text := range step.Bins {
		if text == "" {
			bins = append(bins, as.NewBin(name, nil))
		} else {
			bins = append(bins, as.NewBin(name, text))
		}
	}
	if step.Size > 0 {
		bins = append(bins, as.NewBin("v", make([]byte, step.Size)))
	}
	return bins
}

func (step Step) ops() []*as.Operation {
	var ops []*as.Operation
	for _, b := range step.bins() {
		ops = append(ops, as.PutOp(b))
	}
	if step.Add != 0 {
		ops = append(ops, as.AddOp(as.NewBin("n", step.Add)))
	}
	for _, name := range step.Names {
		ops = append(ops, as.GetBinOp(name))
	}
	return ops
}

func (step Step) policy() (*as.WritePolicy, error) {
	p := as.NewWritePolicy(0, 0)
	p.MaxRetries, p.DurableDelete = 0, step.Durable
	if step.Filter != "" {
		p.FilterExpression = as.ExpEq(as.ExpStringBin("v"), as.ExpStringVal(step.Filter))
	}
	if step.Gen != nil {
		p.GenerationPolicy, p.Generation = as.EXPECT_GEN_EQUAL, *step.Gen
	}
	switch step.Exists {
	case "":
	case "create":
		p.RecordExistsAction = as.CREATE_ONLY
	case "update":
		p.RecordExistsAction = as.UPDATE_ONLY
	case "replace":
		p.RecordExistsAction = as.REPLACE
	case "replaceOnly":
		p.RecordExistsAction = as.REPLACE_ONLY
	default:
		return nil, fmt.Errorf("asfake: no record-exists policy %q", step.Exists)
	}
	return p, nil
}

func outcome(r *as.Record, err error) Result {
	var out Result
	var ae *as.AerospikeError
	if errors.As(err, &ae) {
		out.Code = int(ae.ResultCode)
		return out
	}
	if err != nil {
		out.Code = int(types.COMMON_ERROR)
		return out
	}
	if r == nil {
		return out
	}
	out.Gen, out.Found = r.Generation, true
	for name, v := range r.Bins {
		if out.Bins == nil {
			out.Bins = make(map[string]any)
		}
		if b, ok := v.([]byte); ok {
			v = fmt.Sprintf("%d bytes", len(b))
		}
		out.Bins[name] = v
	}
	return out
}

// WriteTranscript writes one line of JSON for each step.
func WriteTranscript(w io.Writer, lines []Line) error {
	e := json.NewEncoder(w)
	for _, l := range lines {
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// ReadTranscript reads what WriteTranscript wrote.
func ReadTranscript(r io.Reader) ([]Line, error) {
	var lines []Line
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var l Line
		d := json.NewDecoder(bytes.NewReader(in.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("asfake: line %d of the transcript: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, in.Err()
}

// Compare says where two transcripts differ, a line for each difference.
func Compare(a, b []Line) []string {
	var out []string
	for i := range max(len(a), len(b)) {
		var x, y []byte
		if i < len(a) {
			x, _ = json.Marshal(a[i])
		}
		if i < len(b) {
			y, _ = json.Marshal(b[i])
		}
		if !bytes.Equal(x, y) {
			out = append(out, fmt.Sprintf("line %d:\n  %s\n  %s", i+1, x, y))
		}
	}
	return out
}
