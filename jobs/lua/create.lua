-- Idempotency key, output, record, indexes and outbox in one step, or none of it.
-- KEYS[11...]: the idempotency key; record and events of the job to try again, where there is one.
-- ARGV[2...]: fingerprint, seconds to remember the key, seconds until others may publish, the id of the job to try
-- again or '', output or '', the record's pairs.
local IDEMPOTENCY, FORMER, FORMER_EVENTS = KEYS[11], KEYS[12], KEYS[13]
local fingerprint, remember_seconds, publish_seconds, former, output = unpack(ARGV, 2, 6)

-- Members are "folder/ id": in byte order an output stands directly before whatever lies inside of it.
local function first_between(low, high)
  return redis.call('ZRANGE', OUTPUTS, low, high, 'BYLEX', 'LIMIT', 0, 1)[1]
end

local function overlapping(folder)
  local position = string.find(folder, '://', 1, true) + 2
  repeat
    position = string.find(folder, '/', position + 1, true)
    local ancestor = string.sub(folder, 1, position)
    local found = first_between('[' .. ancestor .. ' ', '(' .. ancestor .. '!')
    if found then
      return found
    end
  until position == #folder
  return first_between('[' .. folder, '(' .. string.sub(folder, 1, -2) .. '0')
end

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

if output ~= '' then
  local reserved = overlapping(output)
  if reserved then
    return {'reserved', string.match(reserved, '^(.*) (.*)$')}
  end
  redis.call('HSET', RECORD, 'output', output)
  redis.call('ZADD', OUTPUTS, 0, output .. ' ' .. ID)
end

redis.call('HSET', RECORD, unpack(ARGV, 7))
redis.call('SET', IDEMPOTENCY, fingerprint .. ' ' .. ID, 'EX', remember_seconds)
for _, index in ipairs(indexes()) do
  redis.call('ZADD', index, 0, ID)
end
if FORMER then
  redis.call('HSET', RECORD, 'retry_of', former)
  redis.call('HSET', FORMER, 'retried_by', ID)
  redis.call('HINCRBY', FORMER, 'version', 1)
  tell_of(former, FORMER, FORMER_EVENTS, 'retried', {job = ID})
end
move('queued', {}, now() + publish_seconds * 1000000)
return {'ok', record()}
