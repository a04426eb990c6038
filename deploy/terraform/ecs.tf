resource "aws_cloudwatch_log_group" "task" {
  name              = "/${var.name}/task"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/${var.name}/metrics"
  retention_in_days = 1
}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

locals {
  # The agent scrapes the status page of the task and writes what the alarms need to
  # CloudWatch. Counters arrive as what they grew by.
  agent = jsonencode({
    logs = {
      metrics_collected = {
        prometheus = {
          prometheus_config_path = "env:PROMETHEUS_CONFIG_CONTENT"
          log_group_name         = aws_cloudwatch_log_group.metrics.name
          emf_processor = {
            metric_namespace = var.name
            metric_declaration = [{
              source_labels    = ["job"]
              label_matcher    = "^standpipe$"
              dimensions       = [["job"]]
              metric_selectors = [for alarm in local.alarms : "^${alarm.metric}$"]
            }]
          }
        }
      }
    }
  })
  scrape = yamlencode({
    global         = { scrape_interval = "1m" }
    scrape_configs = [{ job_name = "standpipe", static_configs = [{ targets = ["127.0.0.1:9410"] }] }]
  })
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 2048
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  container_definitions = jsonencode([
    {
      name                   = "standpipe"
      image                  = var.image
      essential              = true
      memory                 = 1024
      command                = ["run", "--config", "/etc/standpipe/standpipe.yaml"]
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      environment            = [{ name = "GOMEMLIMIT", value = "900MiB" }]
      stopTimeout            = 120
      healthCheck            = { command = ["CMD", "/standpipe", "healthcheck"], interval = 30, timeout = 5, retries = 3, startPeriod = 60 }
      ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.task.name
          awslogs-region        = local.region
          awslogs-stream-prefix = "standpipe"
          mode                  = "non-blocking"
          max-buffer-size       = "4m"
        }
      }
    },
    {
      name      = "metrics"
      image     = "public.ecr.aws/cloudwatch-agent/cloudwatch-agent:latest-arm64"
      essential = false
      memory    = 256
      environment = [
        { name = "CW_CONFIG_CONTENT", value = local.agent },
        { name = "PROMETHEUS_CONFIG_CONTENT", value = local.scrape },
      ]
    },
  ])
}

# Old tasks hand their shards to the new ones over the lease table.
resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.workers
  launch_type                        = "FARGATE"
  deployment_maximum_percent         = 200
  deployment_minimum_healthy_percent = 100
  depends_on                         = [aws_iam_role_policy.task, aws_iam_role_policy_attachment.execution]

  network_configuration {
    subnets          = var.subnets
    security_groups  = var.security_groups
    assign_public_ip = false
  }
}
