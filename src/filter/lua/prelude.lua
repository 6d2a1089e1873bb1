-- What scripts for LuaJIT use and Lua 5.1 lacks.

local floor = math.floor

-- Numbers wrap to 32 bits, signed, as in LuaJIT's `bit`.
local function unsigned(x)
  return floor(x + 0.5) % 0x100000000
end

local function signed(x)
  if x >= 0x80000000 then
    return x - 0x100000000
  end
  return x
end

-- Joins the bits of two numbers by a table of what two bits give.
local function join(a, b, rule)
  local result, place = 0, 1
  for _ = 1, 32 do
    result = result + rule[a % 2 + b % 2 + 1] * place
    a, b, place = floor(a / 2), floor(b / 2), place * 2
  end
  return result
end

local function joiner(rule)
  return function(first, ...)
    local result = unsigned(first)
    for i = 1, select('#', ...) do
      result = join(result, unsigned((select(i, ...))), rule)
    end
    return signed(result)
  end
end

local function left(x, n)
  return unsigned(x) * 2 ^ (n % 32) % 0x100000000
end

local function right(x, n)
  return floor(unsigned(x) / 2 ^ (n % 32))
end

bit = {
  tobit = function(x) return signed(unsigned(x)) end,
  bnot = function(x) return signed(0xffffffff - unsigned(x)) end,
  band = joiner({ 0, 0, 1 }),
  bor = joiner({ 0, 1, 1 }),
  bxor = joiner({ 0, 1, 0 }),
  lshift = function(x, n) return signed(left(x, n)) end,
  rshift = function(x, n) return signed(right(x, n)) end,
  arshift = function(x, n) return floor(signed(unsigned(x)) / 2 ^ (n % 32)) end,
  rol = function(x, n) return signed((left(x, n) + right(x, (32 - n) % 32) * (n % 32 == 0 and 0 or 1)) % 0x100000000) end,
  ror = function(x, n) return signed((right(x, n) + left(x, (32 - n) % 32) * (n % 32 == 0 and 0 or 1)) % 0x100000000) end,
  tohex = function(x, n)
    n = n or 8
    local text = string.format(n < 0 and '%08X' or '%08x', unsigned(x))
    return text:sub(-math.abs(n))
  end,
  bswap = function(x)
    x = unsigned(x)
    local result = 0
    for _ = 1, 4 do
      result = result * 256 + x % 256
      x = floor(x / 256)
    end
    return signed(result)
  end,
}
package.loaded.bit = bit

-- Takes text as well as a function.
local load_function = load
function load(chunk, name)
  if type(chunk) == 'string' then
    return loadstring(chunk, name)
  end
  return load_function(chunk, name)
end

-- Passes arguments on.
local plain_xpcall = xpcall
function xpcall(f, handler, ...)
  local arguments, count = { ... }, select('#', ...)
  if count == 0 then
    return plain_xpcall(f, handler)
  end
  return plain_xpcall(function() return f(unpack(arguments, 1, count)) end, handler)
end
