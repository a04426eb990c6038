locals {
  # The file that `standpipe gateway -c` serves on a laptop, with this account's role,
  # region and stream in it.
  openapi = replace(replace(replace(file("${path.module}/../openapi.yaml"),
    "arn:aws:iam::000000000000:role/apigatewayToKinesis", aws_iam_role.gateway.arn),
    "ap-northeast-2", local.region),
  "\"StreamName\": \"class-stream\"", "\"StreamName\": \"${var.stream}\"")
}

resource "aws_api_gateway_rest_api" "this" {
  name = var.name
  body = jsonencode(yamldecode(local.openapi))

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

# The hash is of the whole file: an edit of the mapping template is deployed too.
resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  triggers    = { openapi = sha256(aws_api_gateway_rest_api.this.body) }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/${var.name}/api-access"
  retention_in_days = var.log_retention_days
}

# API Gateway would make this group by itself, without an end to its logs.
resource "aws_cloudwatch_log_group" "execution" {
  name              = "API-Gateway-Execution-Logs_${aws_api_gateway_rest_api.this.id}/${var.stage}"
  retention_in_days = var.log_retention_days
}

resource "aws_api_gateway_stage" "this" {
  rest_api_id   = aws_api_gateway_rest_api.this.id
  deployment_id = aws_api_gateway_deployment.this.id
  stage_name    = var.stage
  depends_on    = [aws_api_gateway_account.this, aws_cloudwatch_log_group.execution]

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      request = "$context.requestId", time = "$context.requestTime", ip = "$context.identity.sourceIp",
      method  = "$context.httpMethod", path = "$context.path", status = "$context.status",
      backend = "$context.integration.status", milliseconds = "$context.responseLatency"
    })
  }
}

resource "aws_api_gateway_method_settings" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = true
    logging_level          = var.execution_log_level
    data_trace_enabled     = false # it would write every body into the log
    throttling_rate_limit  = var.throttle.rate
    throttling_burst_limit = var.throttle.burst
  }
}

# One for all APIs of the account in this region: import it if there is one.
resource "aws_api_gateway_account" "this" {
  cloudwatch_role_arn = aws_iam_role.gateway_logs.arn
  depends_on          = [aws_iam_role_policy_attachment.gateway_logs]
}
