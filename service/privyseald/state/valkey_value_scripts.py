"""Values, as scripts.

A value's record is its version, a space and the content. Versions follow the server's clock, so
that they rise across a loss of memory too. The names of each kind (what stands before the first
slash; one kind for all names without) are kept in a set: to look for them among all keys would
stop the server for others. A name stays in the set when its value's time is over, so each write
of such a value looks at two of them, which keeps the set below about twice of what lives.
"""

from privyseald.state.valkey_script import Script

# KEYS: value, versions, names of the kind, kinds. ARGV: name, content, the version that must stand
# there ('' for any), the time to live in ms ('' for ever), kind, what values' keys begin with.
PUT = Script("""
local there = tonumber(string.match(redis.call('GET', KEYS[1]) or '0 ', '^(%d+) '))
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= there then
  return false
end
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local version = math.max(now_us, tonumber(redis.call('GET', KEYS[2]) or 0) + 1, there + 1)
local text = string.format('%.0f', version)
redis.call('SET', KEYS[2], text)
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], text .. ' ' .. ARGV[2])
else
  redis.call('SET', KEYS[1], text .. ' ' .. ARGV[2], 'PX', ARGV[4])
  for _, name in ipairs(redis.call('SRANDMEMBER', KEYS[3], 2)) do
    if redis.call('EXISTS', ARGV[6] .. name) == 0 then
      redis.call('SREM', KEYS[3], name)
    end
  end
end
if redis.call('SADD', KEYS[3], ARGV[1]) == 1 then
  redis.call('SADD', KEYS[4], ARGV[5])
end
return version
""")

# KEYS: value, names of the kind. ARGV: name, the version that must stand there.
DELETE = Script("""
local there = tonumber(string.match(redis.call('GET', KEYS[1]) or '0 ', '^(%d+) '))
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= there then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
return 1
""")

# KEYS: kinds. ARGV: prefix, what values' keys begin with, what keys of a kind's names begin with.
# Returns names and records in turn.
LIST = Script("""
local prefix, found = ARGV[1], {}
local kinds = {string.match(prefix, '^(.-)/')}
if not kinds[1] then
  kinds = {''}
  for _, kind in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if kind ~= '' and string.sub(kind, 1, #prefix) == prefix then
      kinds[#kinds + 1] = kind
    end
  end
end
for _, kind in ipairs(kinds) do
  for _, name in ipairs(redis.call('SMEMBERS', ARGV[3] .. kind)) do
    if string.sub(name, 1, #prefix) == prefix then
      local record = redis.call('GET', ARGV[2] .. name)
      if record then
        found[#found + 1] = name
        found[#found + 1] = record
      else
        redis.call('SREM', ARGV[3] .. kind, name)
      end
    end
  end
end
return found
""")
