#ifndef CORTEN_MONITOR_H
#define CORTEN_MONITOR_H
#include "plan.h"
#endif
