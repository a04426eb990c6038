output "curl" {
  description = "Sends one record."
  value       = "curl -d '{\"value\":\"30\",\"type\":\"Tip 3\"}' -H 'Content-Type: application/json' -X POST ${aws_api_gateway_stage.this.invoke_url}/v1"
}

output "stream_arn" {
  description = "KinesisStreamARN of standpipe.yaml."
  value       = aws_kinesis_stream.this.arn
}

output "bucket_arn" {
  description = "BucketARN of standpipe.yaml."
  value       = aws_s3_bucket.this.arn
}

output "lease_table" {
  description = "The table for Standpipe.Checkpoint."
  value       = aws_dynamodb_table.leases.name
}
