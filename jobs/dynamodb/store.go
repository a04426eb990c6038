package dynamodb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe/internal/dynamo"
	"github.com/standpipe/standpipe/jobs"
)

// DefaultTable is the table's name where nothing else is said.
const DefaultTable = "standpipe-jobs"

var use = dynamo.Use{
	Keys:    []string{attrCollection, attrRow},
	Setting: "table= in --jobs or Standpipe.Jobs",
	Create:  "the command that begins a job, with create=true in that address: redis://HOST:6379/0?create=true",
	Waits:   "create=true in the address, which waits",
	Loss:    "Every job in it is about to be lost",
	Policy:  "jobs need dynamodb:DescribeTable, GetItem, PutItem, UpdateItem, DeleteItem, BatchWriteItem and Query on the table, create=true CreateTable and TagResource too",
}

// Store is a jobs.Store in one table.
type Store struct {
	table *dynamo.Table

	mu    sync.Mutex
	plans map[string]string // guarded by mu: the plan of each job that was read
}

var _ jobs.Store = (*Store)(nil)

// New is the store in the table of that name, in the region of settings. Nothing
// is asked yet; see Ready.
func New(settings aws.Config, name string) *Store {
	return &Store{table: dynamo.NewTable(settings, name, use), plans: map[string]string{}}
}

// Ready says nil when the table is there and takes requests, else what to do.
func (s *Store) Ready(ctx context.Context) error { return s.table.Ready(ctx) }

// CreateTable makes the table unless it is there, paid per request and protected
// against deletion, and waits for it: some ten seconds, three minutes at most.
func (s *Store) CreateTable(ctx context.Context) error { return s.table.Create(ctx) }

// Close implements jobs.Store: it closes idle connections.
func (s *Store) Close() error {
	s.table.Close()
	return nil
}

// remember keeps the plan of a job: rows are named by it. "" forgets it.
func (s *Store) remember(job, plan string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if plan == "" {
		delete(s.plans, job)
	} else {
		s.plans[job] = plan
	}
}

// plan is the plan of a job as this store saw it last. ErrNotFound.
func (s *Store) plan(ctx context.Context, job string) (string, error) {
	s.mu.Lock()
	plan := s.plans[job]
	s.mu.Unlock()
	if plan != "" {
		return plan, nil
	}
	row, err := s.jobRow(ctx, job)
	return textOf(row, attrPlan), err
}

// jobRow reads a job's row. ErrNotFound.
func (s *Store) jobRow(ctx context.Context, id string) (dynamo.Item, error) {
	row, err := s.table.Get(ctx, "job "+id, keyOf(allJobs, id))
	if err != nil {
		return nil, err
	}
	s.remember(id, textOf(row, attrPlan))
	if row == nil {
		return nil, jobs.ErrNotFound
	}
	return row, nil
}

func planOf(row dynamo.Item) string { return textOf(row, attrPlan) }

// Job implements jobs.Store.
func (s *Store) Job(ctx context.Context, id string) (jobs.Job, error) {
	row, document, err := s.whole(ctx, "job "+id, keyOf(allJobs, id), collectionOf(id), planOf)
	if err != nil {
		return jobs.Job{}, err
	}
	s.remember(id, planOf(row))
	if row == nil {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return s.job(row, document)
}

func (s *Store) job(row dynamo.Item, document []byte) (jobs.Job, error) {
	j, err := decodeJob(row, document)
	if err != nil {
		err = s.damaged("job "+textOf(row, attrRow), err)
	}
	return j, err
}

// Jobs implements jobs.Store.
func (s *Store) Jobs(ctx context.Context) (all []jobs.Job, err error) {
	err = s.query(ctx, "list jobs", allJobs, "", false, func(row dynamo.Item) error {
		id := textOf(row, attrRow)
		s.remember(id, planOf(row))
		document, err := s.document(ctx, collectionOf(id), planOf(row), referenceOf(row))
		if errors.Is(err, errTorn) { // replaced or deleted since it was listed
			j, err := s.Job(ctx, id)
			if err == nil {
				all = append(all, j)
			}
			return ignoreNotFound(err)
		}
		if err != nil {
			return err
		}
		j, err := s.job(row, document)
		all = append(all, j)
		return err
	})
	slices.SortStableFunc(all, func(a, b jobs.Job) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, jobs.ErrNotFound) {
		return nil
	}
	return err
}

// PutJob implements jobs.Store.
func (s *Store) PutJob(ctx context.Context, j jobs.Job) (jobs.Job, error) {
	r, err := recordOfJob(j)
	if err != nil {
		return j, fmt.Errorf("encode job %s: %w", j.ID, err)
	}
	plan, err := s.plan(ctx, j.ID)
	if err != nil {
		return j, err
	}
	if err := s.replace(ctx, "write job "+j.ID, j.ID, plan, keyOf(allJobs, j.ID), r, j.Revision); err != nil {
		return j, err
	}
	j.Revision++
	return j, nil
}

// Slices implements jobs.Store. It costs a read of the job, a request for each
// MiB of rows, and one for each MiB of documents in parts.
func (s *Store) Slices(ctx context.Context, job string) ([]jobs.Slice, error) {
	return s.all(ctx, job, true)
}

// States implements jobs.Store: Slices without documents in parts.
func (s *Store) States(ctx context.Context, job string) ([]jobs.Slice, error) {
	return s.all(ctx, job, false)
}

func (s *Store) all(ctx context.Context, job string, documents bool) (all []jobs.Slice, err error) {
	row, err := s.jobRow(ctx, job)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	plan := planOf(row)
	err = s.query(ctx, "read the slices of job "+job, collectionOf(job), plan+"/slice/", false, func(item dynamo.Item) error {
		x, err := s.slice(ctx, job, plan, item, documents)
		all = append(all, x)
		return err
	})
	if err == nil && len(all) == int(numberOf(row, attrSlices)) {
		return all, nil
	}
	if err != nil && !errors.Is(err, jobs.ErrNotFound) {
		return nil, err
	}
	// Rows go when the job does; they may just be doing so.
	again, err := s.jobRow(ctx, job)
	switch {
	case err != nil:
		return nil, ignoreNotFound(err)
	case planOf(again) != plan:
		return s.all(ctx, job, documents)
	}
	return nil, s.damaged("job "+job, fmt.Errorf("%d of its %d slices are there", len(all), numberOf(row, attrSlices)))
}

// slice decodes a row that was listed, with its document if that is wanted.
func (s *Store) slice(ctx context.Context, job, plan string, item dynamo.Item, documents bool) (x jobs.Slice, err error) {
	var document []byte
	if documents {
		document, err = s.document(ctx, collectionOf(job), plan, referenceOf(item))
	}
	if err == nil {
		if x, err = decodeSlice(item, document); err != nil {
			err = s.damaged("a slice of job "+job, err)
		}
	}
	if errors.Is(err, errTorn) { // replaced since it was listed
		if x, err = decodeSlice(item, nil); err == nil {
			return s.Slice(ctx, job, x.Number)
		}
	}
	return x, err
}

// Slice implements jobs.Store.
func (s *Store) Slice(ctx context.Context, job string, number int) (jobs.Slice, error) {
	for known := true; ; known = false {
		if !known {
			s.remember(job, "")
		}
		plan, err := s.plan(ctx, job)
		if err != nil {
			return jobs.Slice{}, err
		}
		what := fmt.Sprintf("slice %d of job %s", number, job)
		item, document, err := s.whole(ctx, what, keyOf(collectionOf(job), sliceRow(plan, number)), collectionOf(job), func(dynamo.Item) string { return plan })
		switch {
		case err != nil:
			return jobs.Slice{}, err
		case item == nil && known:
			continue // the plan that was known may be that of a job that was deleted
		case item == nil:
			return jobs.Slice{}, jobs.ErrNotFound
		}
		x, err := decodeSlice(item, document)
		if err != nil {
			err = s.damaged(what, err)
		}
		return x, err
	}
}

// Put implements jobs.Store. It costs one write; with a document in parts a read
// too, and when that is another document than before, its parts.
func (s *Store) Put(ctx context.Context, x jobs.Slice) (jobs.Slice, error) {
	r, err := recordOfSlice(x)
	if err != nil {
		return x, fmt.Errorf("encode slice %d of job %s: %w", x.Number, x.Job, err)
	}
	plan, err := s.plan(ctx, x.Job)
	if err != nil {
		return x, err
	}
	op := fmt.Sprintf("write slice %d of job %s", x.Number, x.Job)
	if err := s.replace(ctx, op, x.Job, plan, keyOf(collectionOf(x.Job), sliceRow(plan, x.Number)), r, x.Revision); err != nil {
		return x, err
	}
	x.Revision++
	return x, nil
}

// replace writes r over the row that is at revision. ErrChanged, ErrNotFound.
func (s *Store) replace(ctx context.Context, op, job, plan string, key dynamo.Item, r record, revision int64) error {
	collection := collectionOf(job)
	ref, written, err := s.putDocument(ctx, op, collection, plan, key, r.document, revision)
	if err != nil {
		return err
	}
	id := dynamo.WriteID()
	old, doubtful, err := s.table.Update(ctx, op, update(key, r.body, ref, id, revision))
	if dynamo.ConditionFailed(err) {
		item, err := s.table.Refused(ctx, op, key, err)
		switch {
		case err != nil:
			return err
		case textOf(item, attrWrite) == id:
			return nil // a lost answer of ours; the old document goes with the job
		case doubtful && numberOf(item, attrRevision) > revision+1:
			return s.unknown(op)
		}
		if written {
			s.dropParts(ctx, collection, plan, ref)
		}
		if item == nil {
			return jobs.ErrNotFound
		}
		return jobs.ErrChanged
	}
	if err != nil {
		return err
	}
	if before := referenceOf(old); before.name != "" && before.name != ref.name {
		s.dropParts(ctx, collection, plan, before)
	}
	return nil
}

// putDocument writes the parts of a document, unless the row has that document already.
func (s *Store) putDocument(ctx context.Context, op, collection, plan string, key dynamo.Item, document []byte, revision int64) (ref reference, written bool, err error) {
	if document == nil {
		return ref, false, nil
	}
	row, err := s.table.Get(ctx, op, key)
	switch {
	case err != nil:
		return ref, false, err
	case row == nil:
		return ref, false, jobs.ErrNotFound
	case numberOf(row, attrRevision) != revision:
		return ref, false, jobs.ErrChanged
	}
	hash := sha256.Sum256(document)
	if ref = referenceOf(row); bytes.Equal(ref.hash, hash[:]) {
		return ref, false, nil
	}
	ref, writes := partsOf(collection, plan, document)
	return ref, true, s.table.Batch(ctx, op, writes)
}

// update is the conditional write of a row; it returns the row before.
func update(key dynamo.Item, body []byte, ref reference, id string, revision int64) *dynamodb.UpdateItemInput {
	in := &dynamodb.UpdateItemInput{
		Key: key, ReturnValues: types.ReturnValueAllOld,
		ConditionExpression: aws.String("#r = :r"),
		ExpressionAttributeNames: map[string]string{
			"#r": attrRevision, "#b": attrBody, "#w": attrWrite, "#d": attrDocument, "#p": attrParts, "#h": attrHash,
		},
		ExpressionAttributeValues: dynamo.Item{
			":r": number(revision), ":n": number(revision + 1), ":b": binary(body), ":w": text(id),
		},
	}
	set := "SET #b = :b, #r = :n, #w = :w"
	if ref.name == "" {
		in.UpdateExpression = aws.String(set + " REMOVE #d, #p, #h")
		return in
	}
	in.UpdateExpression = aws.String(set + ", #d = :d, #p = :p, #h = :h")
	v := in.ExpressionAttributeValues
	v[":d"], v[":p"], v[":h"] = text(ref.name), number(ref.parts), binary(ref.hash)
	return in
}
