-- ARGV[2...]: why it is not delivered or '', then the seconds to wait after the first attempt, the second, ...
local failure = ARGV[2]
if not field('status') then
  redis.call('ZREM', WEBHOOKS, ID)
  return {'not_found'}
end
local attempts = redis.call('HINCRBY', RECORD, 'webhook_attempts', 1)
local wait = ARGV[2 + attempts]
local state = failure == '' and 'delivered' or wait and 'pending' or 'failed'
if state == 'pending' then
  redis.call('ZADD', WEBHOOKS, whole(now() + wait * 1000000), ID)
else
  redis.call('ZREM', WEBHOOKS, ID)
end
change({webhook_state = state, webhook_error = failure}, 'webhook', {state = state, attempts = attempts, error = failure})
return {'ok'}
