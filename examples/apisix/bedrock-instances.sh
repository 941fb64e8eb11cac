#!/usr/bin/env bash
# Amazon Bedrock in two regions, each of which answers half of the calls.
# Needs: admin_key AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
set -eu

curl "http://127.0.0.1:9180/apisix/admin/routes" -X PUT \
  -H "X-API-KEY: ${admin_key}" \
  -d '{
    "id": "ai-proxy-multi-route",
    "uri": "/bedrock/converse",
    "methods": ["POST"],
    "plugins": {
      "ai-proxy-multi": {
        "instances": [
          {
            "name": "bedrock-us-east-1",
            "provider": "bedrock",
            "weight": 5,
            "auth": {
              "aws": {
                "access_key_id": "'"$AWS_ACCESS_KEY_ID"'",
                "secret_access_key": "'"$AWS_SECRET_ACCESS_KEY"'"
              }
            },
            "options": {
              "model": "anthropic.claude-3-5-sonnet-20240620-v1:0"
            },
            "provider_conf": {
              "region": "us-east-1"
            }
          },
          {
            "name": "bedrock-us-west-2",
            "provider": "bedrock",
            "weight": 5,
            "auth": {
              "aws": {
                "access_key_id": "'"$AWS_ACCESS_KEY_ID"'",
                "secret_access_key": "'"$AWS_SECRET_ACCESS_KEY"'"
              }
            },
            "options": {
              "model": "us.anthropic.claude-3-5-sonnet-20240620-v1:0"
            },
            "provider_conf": {
              "region": "us-west-2"
            }
          }
        ]
      }
    }
  }'

curl "http://127.0.0.1:9080/bedrock/converse" -X POST \
  -H "Content-Type: application/json" \
  -d '{
    "messages": [
      {"role": "user", "content": [{"text": "What is 1+1?"}]}
    ],
    "inferenceConfig": {"maxTokens": 256}
  }'

curl "http://127.0.0.1:9080/bedrock/converse" -X POST \
  -H "Content-Type: application/json" \
  -d '{
    "messages": [
      {"role": "user", "content": [{"text": "What is 1+1?"}]}
    ],
    "inferenceConfig": {"maxTokens": 256}
  }'
