variable "name" {
  description = "Begins the name of everything that is made."
  type        = string
  default     = "standpipe"
}

variable "stream" {
  description = "The Kinesis stream, as in the mapping template of openapi.yaml and in standpipe.yaml."
  type        = string
  default     = "class-stream"
}

variable "shards" {
  description = "Shards of the stream; 0 makes an on-demand stream."
  type        = number
  default     = 3
}

variable "retention_hours" {
  description = "How long the stream keeps records, 24 to 8760: the longest time standpipe may be away."
  type        = number
  default     = 72
}

variable "bucket" {
  description = "The bucket to make. Its name is unique in the world."
  type        = string
}

variable "prefixes" {
  description = "What Prefix and ErrorOutputPrefix of standpipe.yaml begin with."
  type        = list(string)
  default     = ["rawdata/", "errors/"]
}

variable "stage" {
  description = "Stage of the API, part of its address."
  type        = string
  default     = "PROD"
}

variable "execution_log_level" {
  description = "OFF, ERROR or INFO. INFO writes a dozen lines for each request, at about 0.50 dollars a GB."
  type        = string
  default     = "ERROR"
}

variable "throttle" {
  description = "Requests a second of the API, and its burst."
  type        = object({ rate = number, burst = number })
  default     = { rate = 1000, burst = 500 }
}

variable "image" {
  description = "standpipe with its settings in it: see deploy/ecs/Dockerfile."
  type        = string
}

variable "workers" {
  description = "Tasks. The lease table has to be the checkpoint store of standpipe.yaml: a task's own disk goes with the task."
  type        = number
  default     = 1
}

variable "subnets" {
  description = "Subnets of the tasks, with a way to Kinesis, DynamoDB, S3, ECR and CloudWatch Logs."
  type        = list(string)
}

variable "security_groups" {
  description = "Security groups of the tasks. Nothing has to reach them."
  type        = list(string)
}

variable "freshness_alarm_seconds" {
  description = "Age of the oldest record taken and not committed that alarms: well above IntervalInSeconds, well below the retention."
  type        = number
  default     = 1800
}

variable "alarm_topics" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps logs."
  type        = number
  default     = 30
}
