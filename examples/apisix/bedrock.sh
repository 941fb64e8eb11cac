#!/usr/bin/env bash
# Amazon Bedrock: requests are signed with the keys, which themselves never travel.
# Needs: admin_key AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
set -eu

curl "http://127.0.0.1:9180/apisix/admin/routes" -X PUT \
-H "X-API-KEY: ${admin_key}" \
-d '{
"id": "ai-proxy-route",
"uri": "/bedrock/converse",
"methods": ["POST"],
"plugins": {
"ai-proxy": {
"provider": "bedrock",
"auth": {
"aws": {
"access_key_id": "'"$AWS_ACCESS_KEY_ID"'",
"secret_access_key": "'"$AWS_SECRET_ACCESS_KEY"'"
}
},
"provider_conf": {
"region": "us-east-1"
},
"options": {
"model": "anthropic.claude-3-5-sonnet-20240620-v1:0"
}
}
}
}'

curl "http://127.0.0.1:9080/bedrock/converse" -X POST \
-H "Content-Type: application/json" \
-d '{
"messages": [
{ "role": "user", "content": [{ "text": "What is 1+1?" }] }
],
"inferenceConfig": { "maxTokens": 512 }
}'
