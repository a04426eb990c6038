package deploy

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/config"
)

// A policy is an IAM policy document, as far as the files here use the language.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Principal map[string]oneOrMore
	Action    oneOrMore
	Resource  oneOrMore
	Condition map[string]map[string]oneOrMore
}

// oneOrMore is text or a list of it.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// catalogue is actions.json: per service, the resource types of each action and
// the ARN pattern of each resource type.
type catalogue struct {
	Source   string
	Services map[string]struct {
		Actions   map[string][]string
		Resources map[string]string
	}
}

func readCatalogue(t *testing.T) catalogue {
	t.Helper()
	var c catalogue
	if err := json.Unmarshal([]byte(readText(t, "iam/actions.json")), &c); err != nil {
		t.Fatal(err)
	}
	// AWS has more than a hundred actions for S3: a list that was cut short would
	// make the checks below pass for nothing.
	if len(c.Services["s3"].Actions) < 100 || len(c.Services["kinesis"].Actions) < 30 {
		t.Fatal("iam/actions.json is not complete; make it again with iam/actions.mjs")
	}
	return c
}

func readPolicy(t *testing.T, name string) policy {
	t.Helper()
	var p policy
	decodeStrict(t, name, &p, asIs)
	if p.Version != "2012-10-17" || len(p.Statement) == 0 {
		t.Fatalf("%s: version %q with %d statements", name, p.Version, len(p.Statement))
	}
	return p
}

var policyFiles = []string{"iam/task-role.json", "iam/execution-role.json", "iam/trust-policy.json", "iam/table.json", "iam/table-operator.json", "iam/audit.json"}

func TestEveryActionExistsAndFitsItsResources(t *testing.T) {
	actions := readCatalogue(t)
	for _, name := range policyFiles {
		for _, s := range readPolicy(t, name).Statement {
			for _, action := range s.Action {
				for _, wrong := range actions.judge(action, s) {
					t.Errorf("%s: %s: %s", name, s.Sid, wrong)
				}
			}
		}
	}
}

// judge says what is wrong with one action of a statement. A resource of "*" is
// right only where AWS knows no resource to limit the action to.
func (c catalogue) judge(action string, s statement) (wrong []string) {
	service, name, _ := strings.Cut(action, ":")
	types, ok := c.Services[service].Actions[name]
	if strings.ContainsAny(action, "*?") {
		return []string{action + " has a wildcard"}
	}
	if !ok {
		return []string{action + " does not exist"}
	}
	for _, resource := range s.Resource {
		if resource == "*" && len(types) > 0 {
			wrong = append(wrong, action+" is allowed on everything")
		}
		if resource != "*" && !slices.ContainsFunc(types, func(kind string) bool {
			return arnPattern(c.Services[service].Resources[kind]).MatchString(resource)
		}) {
			wrong = append(wrong, action+" cannot be allowed on "+resource)
		}
	}
	return wrong
}

var variable = regexp.MustCompile(`\\\$\\\{([^}]*)\\\}`)

// spansSlashes are the ARN variables whose values may hold slashes.
var spansSlashes = []string{"ObjectName", "LogGroupName", "LogStreamName", "RepositoryName"}

// arnPattern turns AWS's arn:${Partition}:s3:::${BucketName}/${ObjectName} into a
// pattern.
func arnPattern(template string) *regexp.Regexp {
	pattern := variable.ReplaceAllStringFunc(regexp.QuoteMeta(template), func(v string) string {
		if slices.Contains(spansSlashes, variable.FindStringSubmatch(v)[1]) {
			return `[^:]+`
		}
		return `[^:/]+`
	})
	return regexp.MustCompile("^" + pattern + "$")
}

func TestJudgeRefusesWhatAWSWouldRefuseOrRegret(t *testing.T) {
	actions := readCatalogue(t)
	object, bucket := oneOrMore{"arn:aws:s3:::b/raw/*"}, oneOrMore{"arn:aws:s3:::b"}
	for _, tt := range []struct {
		action   string
		resource oneOrMore
		wrong    bool
	}{
		{"s3:PutObject", object, false},
		{"s3:PutObject", bucket, true},
		{"s3:ListBucket", bucket, false},
		{"s3:ListBucket", object, true},
		{"s3:ListObjectsV2", bucket, true},
		{"s3:Put*", object, true},
		{"s3:PutObject", oneOrMore{"*"}, true},
		{"ecr:GetAuthorizationToken", oneOrMore{"*"}, false},
		{"kinesis:GetRecords", oneOrMore{"arn:aws:kinesis:us-east-1:000000000000:stream/s"}, false},
		{"kinesis:GetRecords", oneOrMore{"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1"}, true},
		{"dynamo:GetItem", oneOrMore{"*"}, true},
	} {
		if got := actions.judge(tt.action, statement{Resource: tt.resource}); (len(got) > 0) != tt.wrong {
			t.Errorf("%s on %s: %q", tt.action, tt.resource, got)
		}
	}
}

// The task role covers the sample configuration and nothing beside it.
func TestTaskRoleIsForTheSampleConfiguration(t *testing.T) {
	c := sample(t)
	d := c.ExtendedS3DestinationConfiguration
	want := map[string][]string{
		"kinesis": {c.KinesisStreamSourceConfiguration.KinesisStreamARN},
		"s3": {
			d.BucketARN, d.BucketARN + "/" + literal(d.Prefix) + "*",
			d.BucketARN + "/" + literal(d.ErrorOutputPrefix) + "*", d.BucketARN + "/_standpipe/*",
		},
	}
	got := map[string][]string{}
	for _, s := range readPolicy(t, "iam/task-role.json").Statement {
		service, _, _ := strings.Cut(s.Action[0], ":")
		got[service] = append(got[service], s.Resource...)
	}
	for service, resources := range want {
		slices.Sort(resources)
		slices.Sort(got[service])
		if !slices.Equal(resources, got[service]) {
			t.Errorf("%s: allowed on %q, needed on %q", service, got[service], resources)
		}
	}
}

// literal is what a prefix begins with whatever its expressions become.
func literal(prefix string) string {
	before, _, _ := strings.Cut(prefix, "!{")
	return before
}

// grants says which actions allow a call. Whoever may not list a bucket is told
// 403 instead of 404 for an object that is absent.
var grants = map[string][]string{
	"kinesis.DescribeStreamSummary": {"kinesis:DescribeStreamSummary"},
	"kinesis.ListShards":            {"kinesis:ListShards"},
	"kinesis.GetShardIterator":      {"kinesis:GetShardIterator"},
	"kinesis.GetRecords":            {"kinesis:GetRecords"},

	"s3.CreateMultipartUpload":   {"s3:PutObject"},
	"s3.UploadPart":              {"s3:PutObject"},
	"s3.CompleteMultipartUpload": {"s3:PutObject"},
	"s3.PutObject":               {"s3:PutObject"},
	"s3.AbortMultipartUpload":    {"s3:AbortMultipartUpload"},
	"s3.ListParts":               {"s3:ListMultipartUploadParts"},
	"s3.HeadObject":              {"s3:GetObject", "s3:ListBucket"},
	"s3.GetObject":               {"s3:GetObject"},
	"s3.ListObjectsV2":           {"s3:ListBucket"},

	"dynamodb.DescribeTable":  {"dynamodb:DescribeTable"},
	"dynamodb.CreateTable":    {"dynamodb:CreateTable"},
	"dynamodb.GetItem":        {"dynamodb:GetItem"},
	"dynamodb.PutItem":        {"dynamodb:PutItem"},
	"dynamodb.UpdateItem":     {"dynamodb:UpdateItem"},
	"dynamodb.DeleteItem":     {"dynamodb:DeleteItem"},
	"dynamodb.Scan":           {"dynamodb:Scan"},
	"dynamodb.BatchWriteItem": {"dynamodb:BatchWriteItem"},
	"dynamodb.Query":          {"dynamodb:Query"},
}

var call = regexp.MustCompile(`\b((?:s3|kinesis|dynamodb)\.[A-Za-z0-9]+)Input\{`)

// needed are the actions for the calls that sources make: packages, or files.
func needed(t *testing.T, sources ...string) (actions []string) {
	t.Helper()
	for _, p := range sources {
		if filepath.Ext(p) != ".go" {
			p += "/*.go"
		}
		files, err := filepath.Glob(filepath.Join("..", p))
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources in %s, %v", p, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			for _, m := range call.FindAllStringSubmatch(readText(t, f), -1) {
				if grants[m[1]] == nil {
					t.Errorf("%s calls %s, and no action is known for it", f, m[1])
				}
				actions = append(actions, grants[m[1]]...)
			}
		}
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// allowed are the actions of a policy, those of some services left out.
func allowed(t *testing.T, name string, without ...string) (actions []string) {
	t.Helper()
	for _, s := range readPolicy(t, name).Statement {
		for _, a := range s.Action {
			if service, _, _ := strings.Cut(a, ":"); !slices.Contains(without, service) {
				actions = append(actions, a)
			}
		}
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// Least privilege, held against the sources: what a policy allows is what the
// packages call that the command is made of, no more and no less.
func TestPoliciesAllowWhatTheProgramCallsAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		policy  string
		sources []string
		without []string // services that other software needs, such as the disk
	}{
		{"iam/task-role.json", []string{"consumer", "sink/s3"}, []string{"elasticfilesystem"}},
		{"iam/audit.json", []string{"consumer", "archive"}, nil},
		{"iam/table.json", []string{"checkpoint/dynamodb", "internal/dynamo/table.go"}, nil},
		{"iam/jobs.json", []string{"jobs/dynamodb", "internal/dynamo"}, nil},
	} {
		need, got := needed(t, tt.sources...), allowed(t, tt.policy, tt.without...)
		// Only an operator makes a table.
		need = slices.DeleteFunc(need, func(a string) bool { return a == "dynamodb:CreateTable" })
		if !slices.Equal(need, got) {
			t.Errorf("%s allows\n\t%q, the program calls\n\t%q", tt.policy, got, need)
		}
	}
}

// The task mounts its disk and writes to it, and no more.
func TestTaskRoleMountsItsDisk(t *testing.T) {
	got := allowed(t, "iam/task-role.json", "kinesis", "s3")
	if want := []string{"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}; !slices.Equal(got, want) {
		t.Errorf("allowed %q, want %q", got, want)
	}
}

// Who audits can change nothing.
func TestAuditPolicyOnlyReads(t *testing.T) {
	for _, a := range allowed(t, "iam/audit.json") {
		_, verb, _ := strings.Cut(a, ":")
		if !regexp.MustCompile(`^(Get|List|Describe)`).MatchString(verb) {
			t.Errorf("%s is allowed", a)
		}
	}
}

func TestTablePolicyIsAboutOneTable(t *testing.T) {
	statements := readPolicy(t, "iam/table.json").Statement
	if len(statements) != 1 || len(statements[0].Resource) != 1 {
		t.Error("one statement about one table is enough")
	}
	for _, s := range readPolicy(t, "iam/table-operator.json").Statement {
		if slices.Contains(s.Action, "dynamodb:DeleteTable") {
			t.Error("nothing of standpipe deletes a table")
		}
	}
}

// A HEAD request has no prefix: a condition on s3:prefix would turn its 404 into
// 403, and what may not be seen is not known to be absent.
func TestListBucketHasNoCondition(t *testing.T) {
	for _, s := range readPolicy(t, "iam/task-role.json").Statement {
		if slices.Contains(s.Action, "s3:ListBucket") && len(s.Condition) > 0 {
			t.Errorf("%s has a condition", s.Sid)
		}
	}
}

// Policies, task definition and configuration are about the same things.
func TestRolesFitTheTaskDefinition(t *testing.T) {
	task, c := taskDefinition(t)
	efs := task.Volumes[0].EfsVolumeConfiguration
	registry, repository, _ := strings.Cut(*c.Image, "/")
	repository, _, _ = strings.Cut(repository, ":")
	options := c.LogConfiguration.Options
	taskRole, execution := readText(t, "iam/task-role.json"), readText(t, "iam/execution-role.json")
	for _, tt := range []struct{ what, in, text string }{
		{"file system", ":file-system/" + *efs.FileSystemId + `"`, taskRole},
		{"access point", ":access-point/" + *efs.AuthorizationConfig.AccessPointId + `"`, taskRole},
		{"repository", ":repository/" + repository + `"`, execution},
		{"log group", ":log-group:" + options["awslogs-group"] + ":", execution},
		{"region", ":" + options["awslogs-region"] + ":", execution},
		{"region of the registry", options["awslogs-region"], registry},
		{"region of the stream", options["awslogs-region"], sampleRegion(sample(t))},
	} {
		if !strings.Contains(tt.text, tt.in) {
			t.Errorf("the %s %s is not in %s", tt.what, tt.in, tt.text)
		}
	}
}

func sampleRegion(c *config.Config) string { return c.KinesisStreamSourceConfiguration.Region() }

// Only ECS tasks of one account can take the roles (confused deputy).
func TestTrustPolicyNamesItsAccount(t *testing.T) {
	for _, s := range readPolicy(t, "iam/trust-policy.json").Statement {
		if got := s.Principal["Service"]; !slices.Equal(got, oneOrMore{"ecs-tasks.amazonaws.com"}) {
			t.Errorf("trusts %q", got)
		}
		if len(s.Condition["StringEquals"]["aws:SourceAccount"]) != 1 || len(s.Condition["ArnLike"]["aws:SourceArn"]) != 1 {
			t.Error("any account's tasks can take the role")
		}
	}
}
