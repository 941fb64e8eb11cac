#!/usr/bin/env bash
# Anthropic, by its own API and by OpenAI's: the path of the call says which one the client speaks.
# Needs: admin_key ANTHROPIC_API_KEY
set -eu

curl "http://127.0.0.1:9180/apisix/admin/routes" -X PUT \
-H "X-API-KEY: ${admin_key}" \
-d '{
"id": "ai-proxy-route",
"uri": "/v1/messages",
"methods": ["POST"],
"plugins": {
"ai-proxy": {
"provider": "anthropic",
"auth": {
"header": {
"x-api-key": "'"$ANTHROPIC_API_KEY"'"
}
},
"options": {
"model": "claude-sonnet-4-5"
}
}
}
}'

curl "http://127.0.0.1:9080/v1/messages" -X POST \
-H "Content-Type: application/json" \
-d '{
"max_tokens": 1024,
"system": "You are a mathematician",
"messages": [
{ "role": "user", "content": "What is 1+1?" }
]
}'

curl "http://127.0.0.1:9180/apisix/admin/routes" -X PUT \
-H "X-API-KEY: ${admin_key}" \
-d '{
"id": "ai-proxy-route-chat",
"uri": "/anything",
"methods": ["POST"],
"plugins": {
"ai-proxy": {
"provider": "anthropic",
"auth": {
"header": {
"Authorization": "Bearer '"$ANTHROPIC_API_KEY"'"
}
},
"options": {
"model": "claude-sonnet-4-5"
}
}
}
}'

curl "http://127.0.0.1:9080/anything" -X POST \
-H "Content-Type: application/json" \
-d '{
"messages": [
{ "role": "system", "content": "You are a mathematician" },
{ "role": "user", "content": "What is 1+1?" }
]
}'
