-- ARGV[2...]: a name for this very call, worker, lease seconds, most attempts, the failure of a poison job.
local claim, worker, lease_seconds, max_attempts, poison = unpack(ARGV, 2, 6)

local function claimed(lease_until)
  local last = field('attempt') - field('uncounted') >= tonumber(max_attempts)
  return {'ok', record(), lease_until, last and 1 or 0, field('granted') or ''}
end

local status = field('status')
if not status then
  return {'not_found'}
elseif TERMINAL[status] then
  return {'terminal'}
end
if status == 'running' then
  if field('claim') == claim then -- the reply to the first sending was lost
    return claimed(redis.call('ZSCORE', LEASES, ID))
  elseif not lease_ended(lease_seconds) then
    return {'leased'}
  end
  redis.call('HSET', RECORD, 'lost', '1')
  count('attempts_ended|lease_lost')
end
if field('cancel_requested') == '1' then
  move('cancelled', {})
  return {'cancelled'}
end
if field('attempt') - field('uncounted') >= tonumber(max_attempts) then
  redis.call('HSET', RECORD, 'error', poison)
  move('failed', {error = cjson.decode(poison)})
  return {'poison'}
end
local most_running = field('most_running')
if status == 'queued' and most_running and loaded('running') >= tonumber(most_running) then
  redis.call('ZREM', PUBLISHED, ID)
  redis.call('ZADD', OUTBOX, whole(now() + HELD_SECONDS * 1000000), ID)
  return {'held'}
end
local since = redis.call('ZSCORE', WAITING, ID)
if since then
  observe('queued', now() - (since - ahead()))
end
count('attempts')
redis.call('HINCRBY', RECORD, 'attempt', 1)
redis.call('HSET', RECORD, 'claim', claim, 'claimed_at', whole(now()), 'progress', '0.0', 'worker', worker)
redis.call('HDEL', RECORD, 'stage', 'stage_at', unpack(USED))
move('running', {worker = worker})
return claimed(lease(lease_seconds))
