-- Prepended to every script about one job. KEYS and ARGV[1] are what Keys.of_job in keys.py lists.
local CHANGES, OUTBOX, PUBLISHED, WAITING, LEASES, OUTPUTS, ENDED, PACE, WEBHOOKS, COUNTERS = unpack(KEYS, 3, 12)
local TERMINAL = {succeeded = true, failed = true, cancelled = true}
local EVENTS_KEPT = 10000
-- Upper ends of the buckets of durations, in seconds; the same as BOUNDS in counters.py.
local BOUNDS = {1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400}
-- Apart by more than any time in microseconds until 2096, and still exact as a double. Also in counters.py.
local AHEAD = {high = -4000000000000000, normal = 0, low = 4000000000000000}
-- Of a job that was begun and given back: ahead of all of its priority that were not, and behind the priority before.
-- Smaller than any time since 2023, and larger than any until 2077 less itself.
local BEGUN = 1700000000000000
local LATEST_WEIGHS = 0.2
local CLEARING_SECONDS = 30
local HELD_SECONDS = 10
-- How long whoever ended a trial has to step its search, before that takes a message.
local STEP_SECONDS = 2

-- The key of one kind that belongs to a job.
local function key_of(kind, id)
  return string.sub(KEYS[1], 1, -(#ARGV[1] + 5)) .. kind .. ':' .. id
end

-- The job that all below is about: the script's own, or for a while one that belongs to it.
local ID, RECORD, EVENTS
local function turn_to(id)
  ID, RECORD, EVENTS = id, key_of('job', id), key_of('events', id)
end
turn_to(ARGV[1])

local function field(name)
  return redis.call('HGET', RECORD, name)
end

-- What store.py reads a job from: its fields, all or those given; the jobs ahead of it while it is queued, those that
-- run, and the pace.
local function record(fields)
  return {
    ID, fields or redis.call('HGETALL', RECORD),
    redis.call('ZRANK', WAITING, ID), redis.call('ZCARD', LEASES), redis.call('GET', PACE),
  }
end

local function tell_of(id, record_key, events, kind, data)
  redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*',
    'kind', kind, 'attempt', redis.call('HGET', record_key, 'attempt'), 'data', cjson.encode(data))
  redis.call('PUBLISH', CHANGES, id)
end

local function tell(kind, data)
  tell_of(ID, RECORD, EVENTS, kind, data)
end

-- A visible change: fields of the record, its version, and the event that tells of it.
local function change(fields, kind, data)
  for name, value in pairs(fields) do
    redis.call('HSET', RECORD, name, value)
  end
  redis.call('HINCRBY', RECORD, 'version', 1)
  tell(kind, data)
end

-- What happens to a trial is to be seen in its search too.
local function tell_search(data)
  local trial, search = ID, field('search')
  if not search then
    return
  end
  data.job_id, data.number = trial, tonumber(field('number'))
  turn_to(search)
  change({}, 'trial', data)
  turn_to(trial)
end

-- Counters are what counters.py reads: written with the change that they count, so that neither is there alone.
local function count(name, by)
  redis.call('HINCRBY', COUNTERS, name, by or 1)
end

local function observe(name, microseconds)
  local bucket = 'inf'
  for _, bound in ipairs(BOUNDS) do
    if microseconds <= bound * 1000000 then
      bucket = bound
      break
    end
  end
  count(name .. '|' .. bucket)
  count(name .. '|microseconds', whole(microseconds))
end

-- What an attempt has used so far: totals, which are counted, and what is as it is now.
local TOTALS = {bytes_read = true, bytes_written = true, training_steps = true, fit_steps = true}
local USED = {
  'bytes_read', 'bytes_written', 'training_steps', 'fit_steps',
  'host_memory_bytes', 'gpu_memory_bytes', 'gpu_memory_limit_bytes',
}

-- Only stages that came to their own end are measured.
local function stage_ends(time)
  local began = field('stage_at')
  if began then
    observe('stage|' .. field('stage'), time - began)
    redis.call('HDEL', RECORD, 'stage_at')
  end
end

-- The answer to a write whose attempt no longer holds the job.
local function lost(write)
  count('fencing_refusals|' .. write)
  return {'lost'}
end

-- The listing indexes that the job is in all its life.
local function indexes()
  return cjson.decode(field('indexes'))
end

-- What the jobs of the same owner are and take now, trials among them.
local function loaded(name)
  local load = field('load')
  return load and tonumber(redis.call('HGET', load, name) or 0) or 0
end

local function add_to_load(name, by)
  local load = field('load')
  if load and redis.call('HINCRBY', load, name, by) <= 0 then
    redis.call('HDEL', load, name)
  end
end

-- A search waits as a job does, but what runs of it are its trials.
local function weigh(status, by)
  if status == 'queued' or status == 'running' and field('kind') ~= 'tune' then
    add_to_load(status, by)
  end
end

-- What a job's score in the index of waiting jobs is over the time since when it waits.
local function ahead()
  return AHEAD[field('priority')] - (field('attempt') == '0' and 0 or BEGUN)
end

-- Of the outputs that are taken. Members are "folder/ id": in byte order an output stands directly before whatever lies inside of it.
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

local enter = {}

function enter.queued(time, publish_at)
  redis.call('ZADD', WAITING, whole(time + ahead()), ID)
  redis.call('ZADD', OUTBOX, whole(publish_at or time), ID)
  redis.call('HDEL', RECORD, 'stage', 'stage_at', 'claim')
  redis.call('HSET', RECORD, 'progress', '0.0')
end

function enter.running(time)
  redis.call('HSETNX', RECORD, 'started_at', whole(time))
end

local function due_webhook(time)
  redis.call('HSET', RECORD, 'webhook_state', 'pending', 'webhook_attempts', 0, 'webhook_error', '')
  redis.call('ZADD', WEBHOOKS, whole(time), ID)
end

-- What attempts left goes with one more message to a worker, unless whoever ends the job has cleared up by then.
local function enter_end(time, remains_at)
  redis.call('HSET', RECORD, 'finished_at', whole(time))
  if field('output') then
    redis.call('ZREM', OUTPUTS, field('output') .. ' ' .. ID)
  end
  add_to_load('bytes', -field('bytes'))
  if field('webhook') == '1' then
    due_webhook(time)
  end
  if not field('search') then -- a trial is kept as long as its search
    redis.call('ZADD', ENDED, whole(time), ID)
  end
  redis.call('DEL', key_of('journal', ID))
  if tonumber(field('attempt')) > 0 then
    redis.call('HSET', RECORD, 'remains', '1')
    redis.call('ZADD', OUTBOX, whole(remains_at or time + CLEARING_SECONDS * 1000000), ID)
  end
end
enter.succeeded, enter.failed, enter.cancelled = enter_end, enter_end, enter_end

local move

-- A search that was asked to stop ends with the last of its trials; any other one has to be stepped.
local function leave_search(trial, search)
  turn_to(search)
  local live = redis.call('HINCRBY', RECORD, 'live', -1)
  if field('status') == 'running' then
    if field('cancel_requested') ~= '1' then
      redis.call('HINCRBY', RECORD, 'news', 1)
      redis.call('ZADD', OUTBOX, whole(now() + STEP_SECONDS * 1000000), ID)
    elseif live == 0 then
      move('cancelled', {})
    end
  end
  turn_to(trial)
end

-- The only way from one status to another: keeps record, indexes and events in step.
function move(to, event, publish_at)
  local from, search = field('status'), field('search')
  for _, index in ipairs(indexes()) do
    if from then
      redis.call('ZREM', index .. ':' .. from, ID)
    end
    redis.call('ZADD', index .. ':' .. to, 0, ID)
  end
  for _, key in ipairs({OUTBOX, PUBLISHED, WAITING, LEASES}) do
    redis.call('ZREM', key, ID)
  end
  weigh(from, -1)
  weigh(to, 1)
  -- Of a search and its trials, the search.
  if TERMINAL[to] and not field('search') then
    count('ended|' .. to)
  end
  enter[to](now(), publish_at)
  event.status = to
  change({status = to}, 'status', event)
  tell_search({status = to})
  if search and TERMINAL[to] then
    leave_search(ID, search)
  end
end

-- The token decides: an attempt whose lease ended still holds the job until somebody else takes it.
local function holds(token)
  return field('status') == 'running' and field('attempt') == token
end

-- After an outage of Redis every lease has ended; live workers get one whole lease to renew before any is judged.
local function lease_ended(lease_seconds)
  if tonumber(redis.call('ZSCORE', LEASES, ID)) > now() then
    return false
  end
  local uptime = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  return tonumber(uptime) >= tonumber(lease_seconds)
end

local function note_pace()
  local seconds = (now() - field('claimed_at')) / 1000000
  local mean = tonumber(redis.call('GET', PACE) or seconds)
  redis.call('SET', PACE, mean + LATEST_WEIGHS * (seconds - mean))
end

local function lease(lease_seconds)
  local ends = whole(now() + lease_seconds * 1000000)
  redis.call('ZADD', LEASES, ends, ID)
  return ends
end

-- Cancelled while no worker holds it.
local function cancel_unheld(event)
  move('cancelled', event, now())
end

local function request_cancel()
  local status = field('status')
  if status == 'queued' then
    cancel_unheld({})
  elseif status == 'running' and field('cancel_requested') ~= '1' then
    change({cancel_requested = '1'}, 'status', {status = 'running', cancel_requested = true})
  end
end

local function cancel_trials(search)
  for _, trial in ipairs(redis.call('ZRANGE', key_of('trials', search), 0, -1)) do
    turn_to(trial)
    request_cancel()
  end
  turn_to(search)
end

local function give_up_attempt(reason)
  if field('cancel_requested') == '1' then
    cancel_unheld({reason = reason})
  else
    move('queued', {reason = reason})
  end
end
