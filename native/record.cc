#include "record.h"

#include <chrono>
#include <cstdint>
#include <cstring>

namespace kernel_lock {
namespace {

constexpr size_t kTimeLength = sizeof("2024-01-15T10:30:45.123Z") - 1;

void put_number(char* at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

// The proleptic Gregorian calendar; gmtime_r and strftime would cost a tenth of
// a whole acquisition.
void put_time(char* at) {
  using namespace std::chrono;
  const int64_t now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  const auto in_day = static_cast<unsigned>(now % 86400000);
  const auto day_number = static_cast<unsigned>(now / 86400000 + 719468);  // from 0000-03-01
  const unsigned era = day_number / 146097;
  const unsigned day_of_era = day_number % 146097;
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned month_from_march = (5 * day_of_year + 2) / 153;
  const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  std::memcpy(at, "0000-00-00T00:00:00.000Z", kTimeLength);
  put_number(at, era * 400 + year_of_era + (month <= 2 ? 1 : 0), 4);
  put_number(at + 5, month, 2);
  put_number(at + 8, day_of_year - (153 * month_from_march + 2) / 5 + 1, 2);
  put_number(at + 11, in_day / 3600000, 2);
  put_number(at + 14, in_day / 60000 % 60, 2);
  put_number(at + 17, in_day / 1000 % 60, 2);
  put_number(at + 20, in_day % 1000, 3);
}

}  // namespace

bool compose_record(char (&record)[kRecordBytes], const std::string& head,
                    const std::string& tail) {
  static constexpr char kKey[] = R"("acquiredAt":")";
  constexpr size_t kFixed = 1 + (sizeof(kKey) - 1) + kTimeLength + 1 + 1 + 1;
  if (head.size() + tail.size() + kFixed > kRecordBytes) return false;

  char* at = record;
  const auto put = [&at](const char* text, size_t size) {
    std::memcpy(at, text, size);
    at += size;
  };
  *at++ = ' ';
  put(head.data(), head.size());
  put(kKey, sizeof(kKey) - 1);
  put_time(at);
  at += kTimeLength;
  *at++ = '"';
  put(tail.data(), tail.size());
  *at++ = '}';
  char* const end = record + kRecordBytes;
  std::memset(at, ' ', static_cast<size_t>(end - at));
  end[-1] = '\n';
  return true;
}

}  // namespace kernel_lock
