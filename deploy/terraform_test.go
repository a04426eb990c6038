package deploy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// A module is the Terraform files, parsed. It is not planned: that takes the
// provider and an account.
type module struct {
	bodies map[string]*hclsyntax.Body // by file
	// defined holds var.x, local.x, data.type.name, type.name and output.x.
	defined map[string]*hclsyntax.Block
}

func readModule(t *testing.T, files map[string]string) (module, []string) {
	t.Helper()
	m := module{map[string]*hclsyntax.Body{}, map[string]*hclsyntax.Block{}}
	var wrong []string
	for name, text := range files {
		f, problems := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos)
		if problems.HasErrors() {
			wrong = append(wrong, problems.Error())
			continue
		}
		body := f.Body.(*hclsyntax.Body)
		m.bodies[name] = body
		for _, b := range body.Blocks {
			key := strings.Join(b.Labels, ".")
			switch b.Type {
			case "variable":
				key = "var." + key
			case "data", "output":
				key = b.Type + "." + key
			case "locals":
				for local := range b.Body.Attributes {
					m.defined["local."+local] = b
				}
				continue
			case "terraform", "provider":
				continue
			}
			if m.defined[key] != nil {
				wrong = append(wrong, key+" is defined twice")
			}
			m.defined[key] = b
		}
	}
	return m, wrong
}

// undefined are the references that lead nowhere, and the variables nobody uses.
func (m module) undefined() (wrong []string) {
	used := map[string]bool{}
	for name, body := range m.bodies {
		bound := map[string]bool{} // by a for expression, anywhere in the file
		_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
			if f, ok := n.(*hclsyntax.ForExpr); ok {
				bound[f.KeyVar], bound[f.ValVar] = true, true
			}
			return nil
		})
		_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
			e, ok := n.(*hclsyntax.ScopeTraversalExpr)
			if !ok {
				return nil
			}
			words := []string{}
			for _, step := range e.Traversal {
				switch s := step.(type) {
				case hcl.TraverseRoot:
					words = append(words, s.Name)
				case hcl.TraverseAttr:
					words = append(words, s.Name)
				}
			}
			// The type of a variable is written as a word too.
			if bound[words[0]] || slices.Contains([]string{"each", "path", "count", "self", "string", "number", "bool"}, words[0]) {
				return nil
			}
			take := 2
			if words[0] == "data" {
				take = 3
			}
			key := strings.Join(words[:min(take, len(words))], ".")
			used[key] = true
			if m.defined[key] == nil {
				wrong = append(wrong, fmt.Sprintf("%s:%d: %s is not defined", name, e.SrcRange.Start.Line, key))
			}
			return nil
		})
	}
	for key := range m.defined {
		if strings.HasPrefix(key, "var.") || strings.HasPrefix(key, "local.") || strings.HasPrefix(key, "data.") {
			if !used[key] {
				wrong = append(wrong, key+" is not used")
			}
		}
	}
	return wrong
}

// text is an expression as it is written, without quotes.
func (m module) text(file string, src []byte, e hclsyntax.Expression) string {
	return strings.Trim(string(e.Range().SliceBytes(src)), `"`)
}

func terraformFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("terraform/*.tf")
	if err != nil || len(names) < 5 {
		t.Fatalf("%q, %v", names, err)
	}
	files := map[string]string{}
	for _, name := range names {
		files[name] = readText(t, name)
	}
	return files
}

func TestTerraformParsesIsFormattedAndEveryReferenceResolves(t *testing.T) {
	files := terraformFiles(t)
	m, wrong := readModule(t, files)
	for _, w := range append(wrong, m.undefined()...) {
		t.Error(w)
	}
	for name, text := range files {
		if !bytes.Equal(hclwrite.Format([]byte(text)), []byte(text)) {
			t.Errorf("%s is not as terraform fmt writes it", name)
		}
	}
}

func TestTheCheckOfReferencesFindsWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`resource "a" "b" { x = var.no }`:                    "x.tf:1: var.no is not defined",
		`resource "a" "b" { x = [for y in a.c.ids : y] }`:    "x.tf:1: a.c is not defined",
		`output "o" { value = "${data.t.n.id}" }`:            "x.tf:1: data.t.n is not defined",
		`variable "v" {}`:                                    "var.v is not used",
		`resource "a" "b" {}` + "\n" + `resource "a" "b" {}`: "a.b is defined twice",
		`resource "a" "b" { x = `:                            "x.tf:1,",
	} {
		m, wrong := readModule(t, map[string]string{"x.tf": text})
		wrong = append(wrong, m.undefined()...)
		if len(wrong) != 1 || !strings.HasPrefix(wrong[0], want) {
			t.Errorf("%s: %q, want %q", text, wrong, want)
		}
	}
}

// What Terraform replaces in openapi.yaml by names of its own has to be there, or
// the API would be made with the sample's.
func TestTerraformReplacesWhatTheOpenAPIFileHolds(t *testing.T) {
	api := readText(t, "openapi.yaml")
	from := regexp.MustCompile(`"((?:arn:|ap-northeast|\\"StreamName)(?:[^"\\]|\\")*)",`).FindAllStringSubmatch(readText(t, "terraform/apigateway.tf"), -1)
	if len(from) != 3 {
		t.Fatalf("%q", from)
	}
	for _, f := range from {
		if text := strings.ReplaceAll(f[1], `\"`, `"`); !strings.Contains(api, text) {
			t.Errorf("openapi.yaml has no %s", text)
		}
	}
}

var interpolation = regexp.MustCompile(`\$\{[^}]*\}`)

// Every action AWS knows, on a resource it can be limited to.
func TestTerraformRolesAreAllowedNoMoreThanTheyNeed(t *testing.T) {
	actions, files := readCatalogue(t), terraformFiles(t)
	m, _ := readModule(t, files)
	granted := map[string][]string{}
	for key, b := range m.defined {
		if !strings.HasPrefix(key, "data.aws_iam_policy_document.") {
			continue
		}
		src := []byte(files[b.Range().Filename])
		for _, s := range b.Body.Blocks {
			if s.Type != "statement" {
				continue
			}
			st := statement{}
			for _, a := range strings.Split(strings.Trim(m.text(key, src, s.Body.Attributes["actions"].Expr), "[]"), ",") {
				st.Action = append(st.Action, strings.Trim(strings.TrimSpace(a), `"`))
			}
			if r := s.Body.Attributes["resources"]; r != nil {
				// A name in place of what Terraform fills in keeps the form of the ARN.
				for _, arn := range regexp.MustCompile(`"(arn:[^"]*)"`).FindAllStringSubmatch(string(r.Expr.Range().SliceBytes(src)), -1) {
					arn := strings.NewReplacer("${local.partition}", "aws", "${local.account}", "000000000000", "${local.region}", "us-east-1").Replace(arn[1])
					st.Resource = append(st.Resource, interpolation.ReplaceAllString(arn, "x"))
				}
				if len(st.Resource) == 0 {
					t.Errorf("%s has no resource", key)
				}
			}
			for _, a := range st.Action {
				granted[key] = append(granted[key], a)
				for _, wrong := range actions.judge(a, st) {
					t.Errorf("%s: %s", key, wrong)
				}
			}
		}
	}
	if got := granted["data.aws_iam_policy_document.gateway"]; !slices.Equal(got, []string{"kinesis:PutRecord"}) {
		t.Errorf("API Gateway may %q", got)
	}
	want := slices.Concat(allowed(t, "iam/task-role.json", "elasticfilesystem"), allowed(t, "iam/table.json"))
	got := slices.DeleteFunc(slices.Clone(granted["data.aws_iam_policy_document.task"]), func(a string) bool {
		return strings.HasPrefix(a, "logs:") // the agent's that writes metrics
	})
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the task may\n\t%q, iam/task-role.json and iam/table.json say\n\t%q", got, want)
	}
}

// Both templates keep to the same promises; each is a line that has to be there.
func TestBothTemplatesKeepTheBucketTheTableAndTheStageAsTheyHaveToBe(t *testing.T) {
	var all strings.Builder
	for _, text := range terraformFiles(t) {
		all.WriteString(text)
	}
	squeeze := regexp.MustCompile(`[ \t]+`)
	for where, text := range map[string]struct {
		text  string
		lines []string
	}{
		"terraform": {all.String(), []string{
			"days_after_initiation = 7", `prefix = "_standpipe/pending/"`, "days = 30", "block_public_acls = true", "block_public_policy = true",
			"ignore_public_acls = true", "restrict_public_buckets = true", `sse_algorithm = "AES256"`, `hash_key = "leaseKey"`,
			`billing_mode = "PAY_PER_REQUEST"`, `default = "PROD"`, `default = "ERROR"`, "access_log_settings {", "stopTimeout = 120", "prevent_destroy = true",
			"data_trace_enabled = false",
		}},
		"cloudformation": {readText(t, "cloudformation/standpipe.yaml"), []string{
			"AbortIncompleteMultipartUpload: {DaysAfterInitiation: 7}", "Prefix: _standpipe/pending/", "ExpirationInDays: 30", "BlockPublicAcls: true",
			"BlockPublicPolicy: true", "IgnorePublicAcls: true", "RestrictPublicBuckets: true", "SSEAlgorithm: AES256", "AttributeName: leaseKey, KeyType: HASH",
			"BillingMode: PAY_PER_REQUEST", "Default: PROD", "Default: ERROR", "AccessLogSetting:", "StopTimeout: 120", "DeletionPolicy: Retain",
			"DataTraceEnabled: false", "Action: kinesis:PutRecord\n",
		}},
	} {
		squeezed := squeeze.ReplaceAllString(text.text, " ")
		for _, line := range text.lines {
			if !strings.Contains(squeezed, line) {
				t.Errorf("%s lacks %q", where, line)
			}
		}
	}
}

// unmeasured is in the code of a fleet alone.
var unmeasured = []string{"standpipe_leases_unowned"}

func TestEveryAlarmIsOfADocumentedMetricAndBothTemplatesHaveIt(t *testing.T) {
	operations, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`standpipe_[a-z_]+[a-z]`)
	terraform := metric.FindAllString(readText(t, "terraform/alarms.tf"), -1)
	cloudformation := metric.FindAllString(readText(t, "cloudformation/standpipe.yaml"), -1)
	for _, list := range []*[]string{&terraform, &cloudformation} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if len(terraform) < 5 || !slices.Equal(terraform, cloudformation) {
		t.Errorf("terraform alarms on %q, cloudformation on %q", terraform, cloudformation)
	}
	for _, name := range terraform {
		if !bytes.Contains(operations, []byte("`"+name+"`")) && !slices.Contains(unmeasured, name) {
			t.Errorf("%s is not in docs/operations.md", name)
		}
	}
}
