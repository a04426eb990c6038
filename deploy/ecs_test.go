package deploy

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/standpipe/standpipe/config"
)

func taskDefinition(t *testing.T) (*ecs.RegisterTaskDefinitionInput, types.ContainerDefinition) {
	t.Helper()
	var task ecs.RegisterTaskDefinitionInput
	decodeStrict(t, "ecs/task-definition.json", &task, lowerCamel)
	if len(task.ContainerDefinitions) != 1 {
		t.Fatalf("%d containers, want 1", len(task.ContainerDefinitions))
	}
	return &task, task.ContainerDefinitions[0]
}

// ECS would refuse an enumerated value that it does not know.
func TestTaskDefinitionUsesValuesOfTheAPI(t *testing.T) {
	task, c := taskDefinition(t)
	efs := task.Volumes[0].EfsVolumeConfiguration
	for name, ok := range map[string]bool{
		"networkMode":             task.NetworkMode == types.NetworkModeAwsvpc,
		"requiresCompatibilities": slices.Equal(task.RequiresCompatibilities, []types.Compatibility{types.CompatibilityFargate}),
		"cpuArchitecture":         task.RuntimePlatform.CpuArchitecture == types.CPUArchitectureArm64,
		"operatingSystemFamily":   task.RuntimePlatform.OperatingSystemFamily == types.OSFamilyLinux,
		"logDriver":               c.LogConfiguration.LogDriver == types.LogDriverAwslogs,
		"ulimit":                  c.Ulimits[0].Name == types.UlimitNameNofile,
		"transitEncryption":       efs.TransitEncryption == types.EFSTransitEncryptionEnabled,
		"iam":                     efs.AuthorizationConfig.Iam == types.EFSAuthorizationConfigIAMEnabled,
	} {
		if !ok {
			t.Errorf("%s has a value that is not meant", name)
		}
	}
}

// fargateMemory is the range of MiB that Fargate offers for CPU units, for the
// sizes that make sense here (ECS developer guide, "Task size").
var fargateMemory = map[string][2]int{
	"256": {512, 2048}, "512": {1024, 4096}, "1024": {2048, 8192}, "2048": {4096, 16384},
}

func TestTaskHasASizeThatFargateOffers(t *testing.T) {
	task, _ := taskDefinition(t)
	memory, err := strconv.Atoi(*task.Memory)
	bounds, known := fargateMemory[*task.Cpu]
	if err != nil || !known || memory < bounds[0] || memory > bounds[1] || memory%1024 != 0 && memory != 512 {
		t.Errorf("cpu %s with memory %s is not offered", *task.Cpu, *task.Memory)
	}
}

// The budget of the configuration, the collector's limit and the task's memory
// leave room in this order.
func TestMemoryLimitsNest(t *testing.T) {
	task, c := taskDefinition(t)
	memory, _ := strconv.Atoi(*task.Memory)
	var limit config.Size
	if err := limit.UnmarshalText([]byte(environment(c)["GOMEMLIMIT"])); err != nil {
		t.Fatal(err)
	}
	budget := sample(t).Standpipe.MemoryLimit
	if task := config.Size(memory) * config.MiB; 2*budget > limit || limit >= task {
		t.Errorf("MemoryLimit %s, GOMEMLIMIT %s, task %s: want twice the first within the second within the third", budget, limit, task)
	}
}

func environment(c types.ContainerDefinition) map[string]string {
	values := map[string]string{}
	for _, e := range c.Environment {
		values[*e.Name] = *e.Value
	}
	return values
}

// ECS kills at stopTimeout, 120 s at most on Fargate: the drain has to be over.
func TestStopTimeoutIsTheLongestAndOutlastsTheDrain(t *testing.T) {
	_, c := taskDefinition(t)
	drain := sample(t).Standpipe.DrainTimeout.Std()
	if *c.StopTimeout != 120 || drain > 110*time.Second {
		t.Errorf("stopTimeout %d s, DrainTimeout %s", *c.StopTimeout, drain)
	}
}

func TestContainerIsLockedDown(t *testing.T) {
	_, c := taskDefinition(t)
	if !*c.ReadonlyRootFilesystem {
		t.Error("the root file system can be written")
	}
	if c.Privileged != nil && *c.Privileged {
		t.Error("the container is privileged")
	}
	if !slices.Equal(c.LinuxParameters.Capabilities.Drop, []string{"ALL"}) || len(c.LinuxParameters.Capabilities.Add) > 0 {
		t.Error("capabilities are kept")
	}
	if len(c.PortMappings) > 0 {
		t.Error("a port is open, though the status page has no authentication")
	}
	if image := *c.Image; strings.HasSuffix(image, ":latest") || !strings.Contains(image[strings.LastIndexByte(image, '/'):], ":") {
		t.Errorf("the image %s is not pinned", image)
	}
}

// What the application may do and what ECS may do for it are two roles.
func TestTaskRoleIsNotTheExecutionRole(t *testing.T) {
	task, _ := taskDefinition(t)
	if *task.TaskRoleArn == *task.ExecutionRoleArn {
		t.Error("both roles are", *task.TaskRoleArn)
	}
}

// The image, the task definition and the configuration name the same user,
// folder, file and health check.
func TestImageAndTaskDefinitionAgree(t *testing.T) {
	task, c := taskDefinition(t)
	image := parseDockerfile(t, "../Dockerfile").last()
	if got := image.only(t, "USER"); got != *c.User {
		t.Errorf("USER %s, user %s", got, *c.User)
	}
	mount := c.MountPoints[0]
	if dir := image.only(t, "WORKDIR"); dir != *mount.ContainerPath || image.only(t, "VOLUME") != dir {
		t.Errorf("WORKDIR %s, mounted at %s", dir, *mount.ContainerPath)
	}
	if *mount.SourceVolume != *task.Volumes[0].Name || *mount.ReadOnly {
		t.Error("the state volume is not mounted for writing")
	}
	if path := sample(t).Standpipe.Checkpoint.Path; !strings.HasPrefix(path, "./") {
		t.Errorf("the checkpoint's path %s is outside the working directory", path)
	}
	if got := image.list(t, "CMD"); !slices.Equal(got, c.Command) {
		t.Errorf("CMD %q, command %q", got, c.Command)
	}
	_, check, _ := strings.Cut(image.only(t, "HEALTHCHECK"), "CMD ")
	if want := append([]string{"CMD"}, words(t, check)...); !slices.Equal(c.HealthCheck.Command, want) {
		t.Errorf("HEALTHCHECK %q, healthCheck %q", want, c.HealthCheck.Command)
	}
	overlay := parseDockerfile(t, "ecs/Dockerfile").last()
	if _, to, _ := strings.Cut(overlay.only(t, "COPY"), " "); to != c.Command[len(c.Command)-1] {
		t.Errorf("the settings are copied to %s, read from %s", to, c.Command[len(c.Command)-1])
	}
}

// Abandoned uploads cost storage and are invisible; but an upload that an intent
// names must live until a worker comes back for it, so the rule is not shorter
// than a week. Plans are of no use once their flush is settled; nothing else
// that is visible may ever expire by our doing.
func TestLifecycleRulesAbortUploadsAfterAWeekAndExpireOnlyPlans(t *testing.T) {
	in := s3.PutBucketLifecycleConfigurationInput{LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{}}
	decodeStrict(t, "s3-lifecycle.json", in.LifecycleConfiguration, asIs)
	rules := in.LifecycleConfiguration.Rules
	if len(rules) != 2 {
		t.Fatalf("%d rules, want 2", len(rules))
	}
	for _, r := range rules {
		if r.Status != s3types.ExpirationStatusEnabled || r.Filter == nil || r.Filter.Prefix == nil {
			t.Fatalf("the rule %s is not in force or has no prefix", *r.ID)
		}
		if r.NoncurrentVersionExpiration != nil || r.Transitions != nil {
			t.Errorf("the rule %s touches visible objects", *r.ID)
		}
	}
	uploads, plans := rules[0], rules[1]
	if uploads.AbortIncompleteMultipartUpload == nil || *uploads.AbortIncompleteMultipartUpload.DaysAfterInitiation < 7 ||
		uploads.Expiration != nil || *uploads.Filter.Prefix != "" {
		t.Errorf("the rule for uploads is %+v", uploads)
	}
	if plans.Expiration == nil || *plans.Expiration.Days < 30 || plans.AbortIncompleteMultipartUpload != nil ||
		*plans.Filter.Prefix != "_standpipe/pending/" {
		t.Errorf("the rule for plans is %+v", plans)
	}
}
