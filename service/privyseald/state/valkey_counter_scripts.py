"""Counters and their epoch, as scripts.

An epoch is a stretch of time in which the server certainly kept its memory. Its record holds a
number (the time in microseconds at which it began, made to rise) and what identifies the server
and its data: run id and replication id. A restart, a failover or a flush leaves no record, or
one of another identity.

A counter's record holds the six numbers of `Counter`, the epoch in which it was last certain,
and how many changes it has seen. In an epoch that is new to it, it counts as given whatever may
have been given before the epoch began: all up to LONGEST_LEAD_MS ahead of that moment, because no
step was ever allowed further ahead of the server's clock.
"""

from privyseald.state.state import HIGHEST, LONGEST_LEAD_MS
from privyseald.state.valkey_script import Script

_COUNTER = f"""
local HIGHEST, LEAD_MS = {HIGHEST}, {LONGEST_LEAD_MS}

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function text(number)
  return string.format('%.0f', number)
end

local ZERO = '0 0 0 0 0 0 0 0'
local N = '(%-?%d+)'
local RECORD = '^' .. table.concat({{N, N, N, N, N, N, N, N}}, ' ') .. '$'

local function read(record)
  local last, given, start, before, skip_from, skip_to, epoch, changes =
    string.match(record or ZERO, RECORD)
  return {{
    last = tonumber(last), given = tonumber(given), start = tonumber(start),
    before = tonumber(before), skip_from = tonumber(skip_from), skip_to = tonumber(skip_to),
    epoch = tonumber(epoch), changes = tonumber(changes),
  }}
end

local function write(key, c)
  c.changes = c.changes + 1
  local record = string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', c.last, c.given,
    c.start, c.before, c.skip_from, c.skip_to, c.epoch, c.changes)
  redis.call('SET', key, record)
  return record
end

-- Let all values up to a bound count as given.
local function raise(c, bound)
  c.last, c.given = math.max(c.last, bound), math.max(c.given, bound)
  c.start, c.before = math.max(c.start, bound), math.max(c.before, bound)
  if c.skip_to <= bound then
    c.skip_from, c.skip_to = 0, 0
  end
end
"""

# KEYS: epoch. ARGV: the caller's time in ms, the number of the epoch it knew, a channel.
# Returns the record (empty where none can begin, for the clocks differ), how many ms the epoch
# is still too young to give anything, and by how many ms the caller's clock is ahead.
LOOK = Script(
    _COUNTER,
    """
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
if string.match(info, 'role:(%w+)') ~= 'master' then
  return redis.error_reply('READONLY a replica')
end
local run_id, data_id = string.match(info, 'run_id:(%w+)'), string.match(info, 'replid:(%w+)')
if not run_id or not data_id then
  return redis.error_reply('NORUNID none')
end
local identity = run_id .. ':' .. data_id
local now_us, caller_ms = clock(), tonumber(ARGV[1])
local ahead_ms = caller_ms - math.floor(now_us / 1000)
local record = redis.call('GET', KEYS[1])
local number, known = string.match(record or '', '^(%d+) (.*)$')
if known ~= identity then
  if math.abs(ahead_ms) > LEAD_MS then
    return {'', 0, ahead_ms}
  end
  local after = math.max(tonumber(ARGV[2]), tonumber(number or 0)) + 1
  number = text(math.max(now_us, caller_ms * 1000, after))
  record = number .. ' ' .. identity
  redis.call('SET', KEYS[1], record)
  -- Values may be lost too: all who listen are to look.
  redis.call('PUBLISH', ARGV[3], '')
end
local young_ms = math.ceil((tonumber(number) - now_us) / 1000) + LEAD_MS
return {record, math.max(young_ms, 0), ahead_ms}
""",
)

# KEYS: epoch, counter. ARGV: the epoch's record, its number, and the Step's floor, ceiling, gap,
# time_ms and per_ms. Returns the counter's new record; a number, where the next value would be
# above the ceiling; or why there is none.
ADVANCE = Script(
    _COUNTER,
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'epoch'}
end
local epoch, floor, ceiling = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local gap, time_ms, per_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local now_ms = math.floor(clock() / 1000)
if math.abs(time_ms - now_ms) > LEAD_MS then
  return {'skewed', time_ms - now_ms}
end
local safe_ms = math.ceil(epoch / 1000) + LEAD_MS
if now_ms < safe_ms then
  return {'young', safe_ms - now_ms}
end
local c = read(redis.call('GET', KEYS[2]))
local is_changed = false
if c.epoch ~= epoch and per_ms > 0 then
  raise(c, safe_ms * per_ms)
  c.epoch, is_changed = epoch, true
end
local limit = ceiling
if per_ms > 0 and ceiling < HIGHEST then
  limit = math.min(ceiling, (now_ms + LEAD_MS) * per_ms)
end
local value = math.max(floor, c.last + 1)
if c.skip_from <= value and value <= c.skip_to then
  value = c.skip_to + 1
end
if value > limit then
  if is_changed then
    write(KEYS[2], c)
  end
  return math.max(value, ceiling + 1)
end
if value - c.given > gap then
  c.start, c.before = value, c.given
end
if c.skip_to > 0 and value > c.skip_to then
  c.start, c.skip_from, c.skip_to = math.min(c.start, c.skip_from), 0, 0
end
c.last, c.given, c.epoch = value, value, epoch
return write(KEYS[2], c)
""",
)

# KEYS: epoch, counter. ARGV: the epoch's record, its number, target. Returns where the counter
# stood, and its new record.
RESYNC = Script(
    _COUNTER,
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'epoch'}
end
local target = tonumber(ARGV[3])
local c = read(redis.call('GET', KEYS[2]))
local before = c.last
local lowest = math.max(target, c.before)
if target >= c.given then
  c.last = target
elseif lowest >= c.start or c.epoch ~= tonumber(ARGV[2]) then
  c.last = c.given
else
  local skip_from, skip_to = c.start, c.given
  if c.skip_to ~= 0 then
    skip_from, skip_to = math.min(skip_from, c.skip_from), math.max(skip_to, c.skip_to)
  end
  c.last, c.given, c.start = lowest, c.before, c.before
  c.skip_from, c.skip_to = skip_from, skip_to
end
return {before, write(KEYS[2], c)}
""",
)

# KEYS: epoch, then counters. ARGV: the epoch's record, its number, and a record for each counter
# that the caller remembers from an earlier epoch. What is newer stands; what comes after the
# counter has gone on in this epoch only raises it.
REMEMBER = Script(
    _COUNTER,
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'epoch'}
end
local epoch = tonumber(ARGV[2])
for index = 2, #KEYS do
  local there, known = read(redis.call('GET', KEYS[index])), read(ARGV[index + 1])
  if there.epoch == epoch then
    if known.epoch ~= epoch and known.given > there.given then
      raise(there, known.given)
      write(KEYS[index], there)
    end
  elseif known.epoch > there.epoch
    or (known.epoch == there.epoch and known.changes > there.changes) then
    redis.call('SET', KEYS[index], ARGV[index + 1])
  end
end
return 1
""",
)
