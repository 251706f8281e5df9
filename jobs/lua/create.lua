-- Idempotency key, output, record, indexes and outbox in one step, or none of it.
-- KEYS[13...]: the idempotency key; record and events of the job to try again, where there is one.
-- ARGV[2...]: fingerprint, seconds to remember the key, seconds until others may publish, the id of the job to try
-- again or '', most jobs queued and most bytes or '', output or '', the record's pairs.
local IDEMPOTENCY, FORMER, FORMER_EVENTS = unpack(KEYS, 13, 15)
local fingerprint, remember_seconds, publish_seconds, former, most_queued, most_bytes, output = unpack(ARGV, 2, 8)

local known = redis.call('GET', IDEMPOTENCY)
if known then
  local known_fingerprint, known_id = string.match(known, '^(%S+) (%S+)$')
  if known_fingerprint ~= fingerprint then
    return {'conflict'}
  end
  return {'known', known_id}
end

if FORMER then
  local status, retry = unpack(redis.call('HMGET', FORMER, 'status', 'retried_by'))
  if retry and redis.call('EXISTS', string.sub(RECORD, 1, -#ID - 1) .. retry) == 1 then
    return {'known', retry}
  elseif status ~= 'failed' and status ~= 'cancelled' then
    return {'not_retryable', status}
  end
end

redis.call('HSET', RECORD, unpack(ARGV, 9))

local function refusal()
  if most_queued ~= '' and loaded('queued') >= tonumber(most_queued) then
    return {'quota', 'queued', redis.call('GET', PACE)}
  elseif most_bytes ~= '' and loaded('bytes') + field('bytes') > tonumber(most_bytes) then
    return {'quota', 'bytes', redis.call('GET', PACE)}
  end
  local reserved = output ~= '' and overlapping(output)
  return reserved and {'reserved', string.match(reserved, '^(.*) (.*)$')}
end
local refused = refusal()
if refused then
  redis.call('DEL', RECORD)
  return refused
end

if output ~= '' then
  redis.call('HSET', RECORD, 'output', output)
  redis.call('ZADD', OUTPUTS, 0, output .. ' ' .. ID)
end
add_to_load('bytes', field('bytes'))
redis.call('SET', IDEMPOTENCY, fingerprint .. ' ' .. ID, 'EX', remember_seconds)
for _, index in ipairs(indexes()) do
  redis.call('ZADD', index, 0, ID)
end
if FORMER then
  redis.call('HSET', FORMER, 'retried_by', ID)
  redis.call('HINCRBY', FORMER, 'version', 1)
  tell_of(former, FORMER, FORMER_EVENTS, 'retried', {job = ID})
end
count('submitted')
move('queued', {}, now() + publish_seconds * 1000000)
-- The rest of the record is what the client has just sent.
return {'ok', record({'status', field('status'), 'version', field('version')})}
