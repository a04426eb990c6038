package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/dynamo"
	"github.com/standpipe/standpipe/jobs"
)

// tidyTimeout bounds the removal of rows that nothing names, also when the
// caller's context has ended. What is left goes with the job.
const tidyTimeout = 15 * time.Second

// Create implements jobs.Store. A job of n slices costs n/25 requests or, when
// slices are large, one for each MiB; one that exists costs one read.
func (s *Store) Create(ctx context.Context, j jobs.Job, all []jobs.Slice) error {
	op := "create job " + j.ID
	key := keyOf(allJobs, j.ID)
	if item, err := s.table.Get(ctx, "job "+j.ID, key); err != nil || item != nil {
		return errors.Join(err, existing(item))
	}
	plan := dynamo.WriteID()
	row, writes, err := planRows(plan, j, all)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := s.table.Batch(ctx, op, writes); err != nil {
		s.tidy(ctx, j.ID, plan)
		return err
	}
	doubtful, err := s.table.Put(ctx, op, &dynamodb.PutItemInput{
		Item: row, ConditionExpression: aws.String("attribute_not_exists(#r)"), ExpressionAttributeNames: map[string]string{"#r": attrRow},
	})
	if dynamo.ConditionFailed(err) {
		return s.second(ctx, op, j.ID, plan, err)
	}
	if err != nil {
		if !doubtful {
			s.tidy(ctx, j.ID, plan)
		}
		return err
	}
	s.remember(j.ID, plan)
	return nil
}

func existing(item dynamo.Item) error {
	if item == nil {
		return nil
	}
	return jobs.ErrExists
}

// second is what a Create that met a row of the job comes to.
func (s *Store) second(ctx context.Context, op, job, plan string, refusal error) error {
	item, err := s.table.Refused(ctx, "job "+job, keyOf(allJobs, job), refusal)
	switch {
	case err != nil:
		return err
	case item == nil:
		return s.unknown(op) // made and deleted meanwhile, by whomever
	case textOf(item, attrPlan) == plan:
		s.remember(job, plan)
		return nil // a lost answer of ours
	}
	s.tidy(ctx, job, plan)
	return jobs.ErrExists
}

// planRows are the rows of a plan: those to write first, and the job's.
func planRows(plan string, j jobs.Job, all []jobs.Slice) (row dynamo.Item, writes []dynamo.Write, err error) {
	collection := collectionOf(j.ID)
	item := func(key dynamo.Item, r record) dynamo.Item {
		ref, parts := partsOf(collection, plan, r.document)
		writes = append(writes, parts...)
		ref.refer(key)
		key[attrBody], key[attrRevision], key[attrWrite] = binary(r.body), number(1), text(plan)
		return key
	}
	for _, x := range all {
		r, err := recordOfSlice(x)
		if err != nil {
			return nil, nil, fmt.Errorf("slice %d: %w", x.Number, err)
		}
		next := item(keyOf(collection, sliceRow(plan, x.Number)), r)
		writes = append(writes, dynamo.Write{Item: next, Size: len(r.body)})
	}
	r, err := recordOfJob(j)
	if err != nil {
		return nil, nil, err
	}
	row = item(keyOf(allJobs, j.ID), r)
	row[attrPlan], row[attrSlices] = text(plan), number(len(all))
	return row, writes, nil
}

// tidy removes the rows of a plan that no job names and none ever will.
func (s *Store) tidy(ctx context.Context, job, plan string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	if rows, err := s.rows(ctx, job, plan+"/"); err == nil {
		_ = s.table.Batch(ctx, "remove the second plan of job "+job, rows)
	}
}

// rows are deletions of what lies in a job's collection.
func (s *Store) rows(ctx context.Context, job, prefix string) (writes []dynamo.Write, err error) {
	err = s.query(ctx, "list the rows of job "+job, collectionOf(job), prefix, true, func(item dynamo.Item) error {
		writes = append(writes, dynamo.Write{Item: item, Delete: true})
		return nil
	})
	return writes, err
}

// Delete implements jobs.Store. The rows are listed while the job is there, for
// then a Create of the same id that is under way comes to nothing anyway; then
// the job goes, then they do, those of plans that came to nothing too.
func (s *Store) Delete(ctx context.Context, job string) error {
	op, key := "delete job "+job, keyOf(allJobs, job)
	row, err := s.table.Get(ctx, "job "+job, key)
	if err != nil || row == nil {
		return err
	}
	rows, err := s.rows(ctx, job, "")
	if err != nil {
		return err
	}
	_, err = s.table.Do(ctx, op, func(ctx context.Context) error {
		_, err := s.table.API.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &s.table.Name, Key: key, ConditionExpression: aws.String("#p = :p"),
			ExpressionAttributeNames:  map[string]string{"#p": attrPlan},
			ExpressionAttributeValues: dynamo.Item{":p": row[attrPlan]},
		})
		return err
	})
	kept := ""
	if dynamo.ConditionFailed(err) { // deleted by a lost attempt or by somebody else, perhaps made anew
		if row, err = s.table.Get(ctx, "job "+job, key); row != nil {
			kept = textOf(row, attrPlan) + "/"
		}
	}
	if err != nil {
		return err
	}
	s.remember(job, "")
	mine := rows[:0]
	for _, w := range rows {
		if kept == "" || !strings.HasPrefix(textOf(w.Item, attrRow), kept) {
			mine = append(mine, w)
		}
	}
	return s.table.Batch(ctx, op, mine)
}

func (s *Store) unknown(op string) error {
	return &standpipe.Error{
		Class: standpipe.Retryable, Op: fmt.Sprintf("table %s: %s", s.table.Name, op),
		Err: errors.New("an answer was lost and somebody else has been at work since: done or not is unknown"),
	}
}
