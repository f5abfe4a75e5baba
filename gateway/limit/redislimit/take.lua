-- Decides a batch of requests by GCRA, see package limit: a bucket is the time at
-- which it is full, and its debt is what is left until then.
--
-- KEYS: the buckets. ARGV: for each request the number of its charges, then for
-- each of these which bucket, cost, extra and capacity, in ns. Returns for each
-- request 1 or 0, then for each charge the debt and what was given of extra.
--
-- Numbers are doubles, which are exact to 2^53: enough for debts, not for ns since
-- 1970. So times are seconds and ns, apart.
local clock = redis.call('TIME')
local sec, ns = tonumber(clock[1]), tonumber(clock[2]) * 1000
local stored, debts = {}, {}
for i, key in ipairs(KEYS) do
	local value = redis.call('GET', key)
	local debt = 0
	if value then
		local s, n = string.match(value, '^(%d+) (%d+)$')
		debt = math.max((tonumber(s) - sec) * 1e9 + (tonumber(n) - ns), 0)
	end
	stored[i], debts[i] = debt, debt
end

local out, at = {}, 1
while at <= #ARGV do
	local first, last = at + 1, at + 4 * tonumber(ARGV[at])
	local allowed = 1
	for c = first, last, 4 do
		local b, capacity = tonumber(ARGV[c]), tonumber(ARGV[c + 3])
		-- A debt above the capacity is cut, and that is kept: the clock was set
		-- back, or the rule was changed.
		debts[b] = math.min(debts[b], capacity)
		if debts[b] > capacity - tonumber(ARGV[c + 1]) then
			allowed = 0
		end
	end
	out[#out + 1] = allowed
	for c = first, last, 4 do
		local b, given = tonumber(ARGV[c]), 0
		if allowed == 1 then
			local cost, capacity = tonumber(ARGV[c + 1]), tonumber(ARGV[c + 3])
			given = math.min(tonumber(ARGV[c + 2]), capacity - cost - debts[b])
			debts[b] = debts[b] + cost + given
		end
		out[#out + 1] = debts[b]
		out[#out + 1] = given
	end
	at = last + 1
end

for i, key in ipairs(KEYS) do
	local debt = debts[i]
	if debt ~= stored[i] then
		-- fmod is exact, unlike % of Lua 5.1 and a division.
		local rest = math.fmod(ns + debt, 1e9)
		redis.call('SET', key, string.format('%.0f %.0f', sec + (ns + debt - rest) / 1e9, rest),
			'PX', string.format('%.0f', math.ceil(debt / 1e6) + 1000))
	end
end
return out
